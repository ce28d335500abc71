"""Stored energy and dissipation of sampled paths, against the theorems and against the points of the cell."""

import numpy as np
import pytest

from pointlaw.data import load_dataset
from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    MATERIALS,
    FiniteJ2,
    FinitePlaneStrain,
    GeneralisedMaxwell,
    LinearElastic,
    NeoHooke,
    PlaneStrain,
    PlaneStress,
    Rotated,
    random_rotations,
)
from pointlaw.paths import cyclic, drive
from pointlaw.rve import Laminate, RVEMaterial, energies, lattice_inclusions, local_fields, make_plan, sample
from pointlaw.rve.collect import read_paths
from pointlaw.rve.stored import path_energies, stored_energy
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
SOFT, HARD = J2(200.0, 0.3, 0.25, H=2.0), LinearElastic(400.0, 0.2)
PHASES = {"matrix": PlaneStrain(SOFT), "inclusion": PlaneStrain(HARD)}
WALK = {"kind": "random_walk", "paths": 3, "steps": 10, "bound": 0.01, "step_size": 0.002, "seed": 4}
ELASTIC = {
    "matrix": PlaneStress(LinearElastic(200.0, 0.3)),
    "inclusion": Rotated(PlaneStress(LinearElastic(400.0, 0.2)), [[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]),
}


@pytest.mark.parametrize(
    "law",
    [
        lambda: LinearElastic(210e3, 0.3),
        MATERIALS["orthotropic"],
        lambda: PlaneStress(MATERIALS["transversely_isotropic"]()),
        lambda: Rotated(MATERIALS["crystal"](), random_rotations(1, seed=0)[0]),
        MATERIALS["j2_scaled"],
        MATERIALS["j2_substepped"],
        lambda: RVEMaterial(DISC.mesh(4), ELASTIC, tolerance=1e-12),
        lambda: RVEMaterial(DISC.mesh(6), PHASES, tolerance=1e-12),
        lambda: RVEMaterial(
            lattice_inclusions("cubic", 0.3).mesh(4), {"matrix": SOFT, "inclusion": HARD}, tolerance=1e-12
        ),
    ],
    ids=["elastic", "orthotropic", "plane stress", "crystal", "scaled", "substepped", "plane cell", "J2 cell", "3D"],
)
def test_a_small_step_is_stored_whole_and_nothing_is_dissipated(tmp_path, law):
    plan = make_plan({"kind": "proportional", "paths": 2, "steps": 2, "bound": 1e-6, "seed": 3})
    dataset = load_dataset(sample(law(), plan, tmp_path).dataset)
    work = 0.5 * np.einsum("nm,nm->n", dataset.stress[:, -1], dataset.strain[:, -1])
    np.testing.assert_allclose(dataset.energy[:, -1], work, rtol=1e-7)
    assert np.abs(dataset.dissipation).max() < 1e-7 * work.min()


@pytest.mark.parametrize("engine", ["general", "batched"])
def test_the_energy_of_a_cell_is_that_of_its_points_and_the_dissipation_their_plastic_power(engine):
    gaps = []
    for steps in (6, 12):
        rve = RVEMaterial(DISC.mesh(6), PHASES, engine=engine)
        path = cyclic([[1.0, -0.4, 0.3]], amplitude=4e-3, cycles=1, steps=steps, kinematics=PLANE_STRAIN)
        record = drive(rve, path).raise_if_failed()
        energy, dissipation = path_energies(stored_energy(rve), record)
        asked = energies(rve, record)  # asks the laws again for the local stresses
        np.testing.assert_allclose(energy, asked.elastic, rtol=1e-6, atol=1e-9 * energy.max())
        gaps.append(abs(dissipation[0, -1] - plastic_power(rve, record)) / dissipation[0, -1])
    assert gaps[0] < 0.05
    assert gaps[1] < 0.6 * gaps[0]  # backward Euler and the trapezoidal rule meet as the steps become small


def plastic_power(rve, record):
    """The sum over the steps of the mean of σ:Δεᵖ at the points of the matrix, with the stress at the end."""
    total, before = 0.0, 0.0
    for step in range(1, len(record.times)):
        local = local_fields(rve, record, step=step)
        state = local.phase_state["matrix"]
        plastic = state[:, 3:9]
        stress = np.zeros((len(state), 6))
        stress[:, [0, 1, 5]], stress[:, 2:5] = local.phase_stress["matrix"], state[:, :3]
        weights = local.weights[rve.element.cells["matrix"]].reshape(-1)
        total += weights @ np.einsum("pi,pi->p", stress, plastic - before) / rve.element.volume
        before = plastic.copy()
    return total


def test_a_relaxing_solid_dissipates_and_a_held_one_keeps_the_energy_of_its_lone_spring():
    law = GeneralisedMaxwell(1e3, 0.3, tau=(0.1, 1.0), g=(0.2, 0.3))
    strain = np.array([[1e-3, 0.0, 0.0, 0.0, 0.0, 5e-4]])
    state = law.update(strain, law.initial_state(1), 1e-9).state
    energy = stored_energy(law)
    instant = energy(strain, state)[0]
    assert instant == pytest.approx(0.5 * float(strain[0] @ LinearElastic(1e3, 0.3).stiffness @ strain[0]), rel=1e-6)
    held = energy(strain, law.update(strain, state, 1e3).state)[0]
    assert held == pytest.approx(0.5 * float(strain[0] @ law.equilibrium @ strain[0]), rel=1e-9)
    assert held < instant


FINITE = ["neo_hooke", "mooney_rivlin", "gent", "ogden", "holzapfel", "j2_finite", "j2_finite_plane_strain"]


@pytest.mark.parametrize("name", FINITE)
def test_the_stress_of_a_finite_strain_law_is_the_slope_of_what_it_stores(name):
    law = MATERIALS[name]()
    energy, m, rng = stored_energy(law), law.kinematics.size, np.random.default_rng(2)
    size = 1e-3 if "j2" in name else 0.2  # the metal stays elastic
    F = law.kinematics.reference + size * rng.uniform(-1.0, 1.0, (5, m))
    state = law.initial_state(5)
    assert energy(law.kinematics.reference[None], state[:1])[0] == pytest.approx(0.0, abs=1e-12)
    h = 1e-4 * size
    slopes = [(energy(F + h * e, state) - energy(F - h * e, state)) / (2.0 * h) for e in np.eye(m)]
    stress = law.update(F, state, 1.0, tangent=False).stress
    np.testing.assert_allclose(np.stack(slopes, 1), stress, atol=2e-8 * np.abs(stress).max())


def test_the_mean_stress_of_a_rubber_cell_is_the_slope_of_its_mean_energy():
    """Hill and Mandel at finite strain: the fluctuation is in equilibrium, so the energy does not see it move."""
    phases = {
        "matrix": FinitePlaneStrain(NeoHooke(mu=1.0, K=10.0)),
        "inclusion": FinitePlaneStrain(MATERIALS["ogden"]()),
    }
    rve = RVEMaterial(DISC.mesh(4), phases, tolerance=1e-12)
    energy, F, h = stored_energy(rve), np.array([[1.15, 0.2, -0.05, 0.95]]), 1e-5
    start = rve.update(F, rve.initial_state(1), 1.0)

    def at(place):
        return energy(place, rve.update(place, start.state, 1.0, tangent=False).state)[0]

    slopes = [(at(F + h * e) - at(F - h * e)) / (2.0 * h) for e in np.eye(4)]
    np.testing.assert_allclose(slopes, start.stress[0], atol=1e-8 * np.abs(start.stress).max())


def test_finite_plasticity_dissipates_and_rubber_gives_all_of_its_work_back():
    metal, rubber = FinitePlaneStrain(FiniteJ2(200.0, 0.3, 0.5, H=2.0)), FinitePlaneStrain(NeoHooke(mu=1.0, K=10.0))
    lost = {}
    for name, law in (("metal", metal), ("rubber", rubber)):
        rve = RVEMaterial(DISC.mesh(4), {"matrix": law, "inclusion": rubber}, tolerance=1e-11)
        path = cyclic([[1.0, 0.3, 0.0, -0.4]], amplitude=0.04, cycles=1, steps=24, kinematics=rve.kinematics)
        record = drive(rve, path).raise_if_failed()
        energy, dissipation = path_energies(stored_energy(rve), record)
        np.testing.assert_allclose(energies(rve, record).elastic, energy, rtol=1e-9, atol=1e-12 * energy.max())
        assert (energy > -1e-12).all()
        lost[name] = dissipation[0] / energy.max()
    assert np.abs(lost["rubber"]).max() < 0.01  # the trapezoidal rule
    assert np.diff(lost["metal"]).min() > -0.01
    assert lost["metal"][-1] > 1.0


def test_the_batched_and_the_general_engine_store_the_same_energies(tmp_path):
    found = []
    for engine in ("batched", "general"):
        law = RVEMaterial(DISC.mesh(6), PHASES, engine=engine, tolerance=1e-11)
        found.append(load_dataset(sample(law, make_plan(WALK), tmp_path / engine, batch=3).dataset))
    for name in ("energy", "dissipation"):
        one, two = (getattr(dataset, name) for dataset in found)
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-9 * found[0].energy.max())


def test_energies_survive_a_resume_sample_by_sample(tmp_path):
    law = RVEMaterial(
        Laminate([0.5, 0.5], dim=2).mesh(4), {"layer_1": PHASES["matrix"], "layer_2": PHASES["inclusion"]}
    )
    whole = load_dataset(sample(law, make_plan(WALK), tmp_path / "whole", batch=2).dataset)
    sample(law, make_plan(WALK | {"paths": 2}), tmp_path / "parts", batch=2)
    resumed = load_dataset(sample(law, make_plan(WALK), tmp_path / "parts", batch=2).dataset)
    assert resumed.sha256 == whole.sha256
    assert (whole.energy >= 0.0).all()
    assert [record.energy.shape for record in read_paths(tmp_path / "parts")] == 3 * [(11,)]


def test_energies_that_are_not_wanted_are_not_there_and_unknown_ones_are_refused(tmp_path):
    plan = make_plan(WALK | {"paths": 1})
    assert load_dataset(sample(PHASES["matrix"], plan, tmp_path / "off", energy=False).dataset).energy is None
    crystal = MATERIALS["crystal_finite"]()
    assert load_dataset(sample(crystal, plan, tmp_path / "crystal").dataset).energy is None
    with pytest.raises(InputError, match="what FiniteCrystalPlasticity stores is not known"):
        sample(crystal, plan, tmp_path / "asked", energy=True)
