"""Effective stiffness, energies along a path, local fields and their files."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.paths import cyclic, drive, proportional
from pointlaw.rve import Periodic, RVEMaterial, energies, homogenise, local_fields
from pointlaw.rve.microstructure import lattice_inclusions
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
PHASES = {"matrix": PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), "inclusion": PlaneStrain(LinearElastic(400.0, 0.2))}


@pytest.fixture(scope="module")
def driven():
    rve = RVEMaterial(DISC.mesh(6), PHASES, Periodic(), engine="general")
    path = cyclic([[1.0, -0.4, 0.3]], amplitude=4e-3, cycles=1, steps=4, kinematics=PLANE_STRAIN)
    return rve, drive(rve, path).raise_if_failed()


def test_the_stiffness_of_a_cell_is_symmetric_and_between_its_phases():
    rve = RVEMaterial(DISC.mesh(6), PHASES, Periodic(), engine="general")
    stiffness = homogenise(rve)
    assert np.abs(stiffness - stiffness.T).max() < 1e-12 * stiffness.max()
    soft, hard = (law.update(np.zeros((1, 3)), law.initial_state(1), 1.0).tangent[0] for law in PHASES.values())
    assert np.linalg.eigvalsh(stiffness - soft).min() > 0.0
    assert np.linalg.eigvalsh(hard - stiffness).min() > 0.0


def test_every_step_obeys_hill_and_mandel_at_the_quadrature_points(driven):
    assert energies(*driven).hill_mandel.max() < 1e-8


def test_dissipation_grows_and_work_is_what_is_stored_and_dissipated(driven):
    found = energies(*driven)
    assert np.diff(found.dissipation[0]).min() > -0.02 * found.work.max()  # trapezoidal rule
    assert found.dissipation[0, -1] > 0.3 * found.work.max()
    assert (found.elastic >= 0.0).all()


def test_an_elastic_step_stores_all_of_its_work():
    rve = RVEMaterial(DISC.mesh(6), PHASES, Periodic(), engine="general", tolerance=1e-12)
    path = proportional([[1.0, 0.2, 0.3]], amplitude=2e-4, steps=2, kinematics=PLANE_STRAIN)
    found = energies(rve, drive(rve, path))
    np.testing.assert_allclose(found.elastic[0], found.work[0], rtol=1e-11)


def test_local_fields_average_to_the_macroscopic_ones(driven):
    rve, record = driven
    local = local_fields(rve, record, step=5)
    mean = [np.einsum("cq,cqm->m", local.weights, field) / rve.element.volume for field in (local.stress, local.strain)]
    np.testing.assert_allclose(mean[0], record.stress[0, 5], atol=1e-12)
    np.testing.assert_allclose(mean[1], record.strain[0, 5], atol=1e-15)
    assert local.variable("equivalent_plastic_strain")[rve.element.cells["inclusion"]].max() == 0.0


def test_local_fields_of_a_step_that_was_cut_are_refused(driven):
    rve, record = driven
    state = record.state.copy()
    state[:, 3, rve.state_layout["phase.matrix"]] *= 1.5
    wrong = type(record)(**{**vars(record), "state": state})
    with pytest.raises(InputError, match="the step was cut into parts"):
        local_fields(rve, wrong, step=3)


def test_files_for_paraview_hold_the_fields(driven, tmp_path):
    rve, record = driven
    local = local_fields(rve, record)
    local.write(tmp_path / "cell.pvd", state=("equivalent_plastic_strain",))
    text = "".join(p.read_text(errors="ignore") for p in tmp_path.rglob("*.vtu"))
    assert all(name in text for name in ("displacement", "stress", "strain", "equivalent_plastic_strain", "phase"))
    with pytest.raises(InputError, match="ParaView files end in"):
        local.write(tmp_path / "cell.vtk")
