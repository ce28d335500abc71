"""Observers: what is in the files is what was computed."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import csv

import dolfinx
import numpy as np
import pytest
from fem_bodies import ELASTIC_2D, PLASTIC_2D, PLASTIC_3D, Spy, cube, square

from pointlaw.errors import InputError, MeshError, SetupError
from pointlaw.fem import Displacement, ForceTable, MechanicsProblem, Paraview, Progress, Traction, march
from pointlaw.materials import Axisymmetric, LinearElastic

pytestmark = pytest.mark.fem

HOLD = (Displacement("left", x=0.0), Displacement("bottom", y=0.0))
PULL = Displacement("right", x=lambda t: 0.01 * t)


def problem_with(law=PLASTIC_2D, **options):
    return MechanicsProblem(square(2), law, **({"supports": [*HOLD, PULL]} | options))


# Force table --------------------------------------------------------------------------------------------------------


def test_the_table_in_the_file_is_the_table_in_memory(tmp_path):
    table = ForceTable("right", tmp_path / "new" / "force.csv")
    march(problem_with(), [0.3, 1.0], observers=[table])
    with (tmp_path / "new" / "force.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time", "force_x", "force_y", "displacement_x", "displacement_y"]
    expected = np.column_stack([table.time, table.force, table.displacement])
    np.testing.assert_array_equal(np.array(rows[1:], dtype=float), expected)
    assert table.time == [0.0, 0.3, 1.0]


def test_the_force_of_an_elastic_bar_is_stiffness_times_stretch():
    table = ForceTable("right")
    march(problem_with(ELASTIC_2D), [0.5, 1.0], observers=[table])
    modulus = 1000.0 / (1 - 0.3**2)
    np.testing.assert_allclose(np.array(table.force)[:, 0], modulus * 0.01 * np.array([0, 0.5, 1.0]), atol=1e-10)
    np.testing.assert_allclose(np.array(table.displacement)[:, 0], [0, 0.005, 0.01], atol=1e-15)
    np.testing.assert_allclose(np.array(table.displacement)[:, 1], np.array([0, 0.5, 1]) * -0.01 * 0.3 / 0.7 / 2)


def test_the_mean_displacement_weighs_by_area():
    supports = [Displacement("left", x=0.0, y=0.0), Displacement("right", y=lambda x, t: t * x[1] ** 2)]
    table = ForceTable("right")
    problem = MechanicsProblem(square(2), ELASTIC_2D, supports=supports, degree=2)
    march(problem, [1.0], observers=[table])
    assert table.displacement[-1][1] == pytest.approx(1.0 / 3.0, rel=1e-12)


def test_the_mean_displacement_of_a_disc_weighs_by_the_area_of_its_rings():
    cone = [Displacement("bottom", y=0.0), Displacement("top", y=lambda x, t: t * x[0])]
    problem = MechanicsProblem(square(4), Axisymmetric(LinearElastic(E=1000.0, nu=0.0)), supports=cone)
    table = ForceTable("top")
    march(problem, [1.0], observers=[table])
    # Of a circular disc of radius 1: ∫ r · 2πr dr / π.
    assert table.displacement[-1][1] == pytest.approx(2.0 / 3.0, rel=1e-12)


def test_the_mean_displacement_of_the_axis_is_that_by_length():
    stretch = [Displacement("bottom", y=0.0), Displacement("top", y=1.0)]
    problem = MechanicsProblem(square(4), Axisymmetric(LinearElastic(E=1000.0, nu=0.0)), supports=stretch)
    table = ForceTable("left")
    march(problem, [1.0], observers=[table])
    assert table.displacement[-1][1] == pytest.approx(0.5, rel=1e-12)


def test_the_table_of_a_second_march_goes_on_and_does_not_begin_again(tmp_path):
    problem, table = problem_with(), ForceTable("right", tmp_path / "force.csv")
    march(problem, [0.5], observers=[table])
    march(problem, [1.0], observers=[table])
    assert table.time == [0.0, 0.5, 1.0]
    with (tmp_path / "force.csv").open() as file:
        rows = list(csv.reader(file))
    expected = np.column_stack([table.time, table.force, table.displacement])
    np.testing.assert_array_equal(np.array(rows[1:], dtype=float), expected)


def test_a_table_that_begins_under_load_begins_with_the_force_that_acts():
    problem = problem_with()
    march(problem, [0.5])
    table = ForceTable("right")
    march(problem, [1.0], observers=[table])
    np.testing.assert_allclose(table.force[0], problem_force_at(0.5), rtol=1e-10)


def problem_force_at(t):
    problem = problem_with()
    march(problem, [t])
    return problem.reaction("right")


def test_a_table_at_a_place_that_the_mesh_lacks_is_an_error():
    with pytest.raises(MeshError, match="no facets tagged 'rigth'"):
        march(problem_with(), [1.0], observers=[ForceTable("rigth")])


def test_the_reaction_counts_what_the_supports_carry_not_the_load_applied_there():
    supports = [Displacement("left", x=0.0, y=0.0)]
    problem = MechanicsProblem(square(2), ELASTIC_2D, supports=supports, loads=[Traction("right", (2.0, 0.0))])
    march(problem, [1.0])
    np.testing.assert_allclose(problem.reaction("right"), 0.0, atol=1e-11)
    np.testing.assert_allclose(problem.reaction("left"), [-2.0, 0.0], atol=1e-11)


# ParaView -----------------------------------------------------------------------------------------------------------


def test_vtu_files_hold_displacement_stress_and_state(tmp_path):
    pyvista = pytest.importorskip("pyvista")
    problem = problem_with()
    paraview = Paraview(tmp_path / "run.pvd", state=["equivalent_plastic_strain"])
    march(problem, [0.5, 1.0], observers=[paraview])
    files = sorted(tmp_path.glob("*.vtu"))
    assert len(files) == 3
    text = (tmp_path / "run.pvd").read_text()
    assert all(f'timestep="{t}"' in text for t in ("0", "0.5", "1"))
    data = pyvista.read(files[-1])
    assert np.abs(data.point_data["displacement"]).max() == pytest.approx(0.01)
    stress = data.cell_data["stress"].reshape(4, -1)
    region = problem.regions["body"]
    np.testing.assert_allclose(stress[:, 0], problem.cell_means(region, region.committed[0])[:, 0], rtol=1e-6)
    plastic = np.ravel(data.cell_data["equivalent_plastic_strain"])
    committed = region.history.committed[:, region.material.state_layout["equivalent_plastic_strain"]]
    np.testing.assert_allclose(plastic, committed.reshape(4, 4).mean(axis=1), rtol=1e-6)
    assert plastic.min() > 1e-3


@pytest.mark.skipif(not dolfinx.has_adios2, reason="DOLFINx without ADIOS2")
def test_a_vtx_folder_holds_all_fields(tmp_path):
    problem = MechanicsProblem(
        cube(1),
        PLASTIC_3D,
        supports=[Displacement("left", x=0, y=0, z=0), PULL],
    )
    march(problem, [0.5, 1.0], observers=[Paraview(tmp_path / "run.bp", state=["plastic_strain"])])
    content = b"".join(file.read_bytes() for file in (tmp_path / "run.bp").iterdir())
    for name in (b"displacement", b"stress", b"plastic_strain", b"UnstructuredGrid"):
        assert name in content


def test_every_nth_step_is_written(tmp_path):
    march(problem_with(), [0.25, 0.5, 0.75, 1.0], observers=[Paraview(tmp_path / "run.pvd", every=2)])
    assert len(list(tmp_path.glob("*.vtu"))) == 1 + 2


def test_a_second_march_leaves_the_files_of_the_first_and_writes_its_own(tmp_path):
    problem, paraview = problem_with(), Paraview(tmp_path / "run.pvd")
    march(problem, [0.5], observers=[paraview])
    first = (tmp_path / "run.pvd").read_text()
    march(problem, [1.0], observers=[paraview])
    assert (tmp_path / "run.pvd").read_text() == first
    second = (tmp_path / "run-2.pvd").read_text()
    assert all(f'timestep="{t}"' in first for t in ("0", "0.5"))
    assert all(f'timestep="{t}"' in second for t in ("0.5", "1"))
    assert len(list(tmp_path.glob("run_p0*.vtu"))) == len(list(tmp_path.glob("run-2_p0*.vtu"))) == 2


@pytest.mark.skipif(not dolfinx.has_adios2, reason="DOLFINx without ADIOS2")
def test_a_second_march_leaves_the_vtx_folder_of_the_first(tmp_path):
    problem, paraview = problem_with(), Paraview(tmp_path / "run.bp")
    march(problem, [0.5], observers=[paraview])
    before = {path.name: path.read_bytes() for path in (tmp_path / "run.bp").iterdir()}
    march(problem, [1.0], observers=[paraview])
    assert {path.name: path.read_bytes() for path in (tmp_path / "run.bp").iterdir()} == before
    assert (tmp_path / "run-2.bp").is_dir()


@pytest.mark.parametrize("every", [0, -1])
def test_every_so_many_steps_is_at_least_every_one(tmp_path, every):
    with pytest.raises(InputError, match=f"Paraview: every = {every} must be at least 1"):
        Paraview(tmp_path / "run.pvd", every=every)


def test_the_mixed_formulation_writes_the_stress_of_the_body(tmp_path):
    pyvista = pytest.importorskip("pyvista")
    written = {}
    for formulation in ("displacement", "mixed"):
        problem = problem_with(formulation=formulation)
        paraview = Paraview(tmp_path / f"{formulation}.pvd", state=["equivalent_plastic_strain"])
        march(problem, [1.0], observers=[paraview])
        data = pyvista.read(sorted(tmp_path.glob(f"{formulation}*.vtu"))[-1]).cell_data
        written[formulation] = [np.asarray(data[name]) for name in ("stress", "equivalent_plastic_strain")]
    for plain, mixed in zip(*written.values(), strict=True):  # uniform tension: both formulations agree
        np.testing.assert_allclose(mixed, plain, atol=1e-5 * np.abs(plain).max())


def test_regions_without_a_variable_write_zero(tmp_path):
    parts = {"elastic": lambda x: x[0] <= 0.5 + 1e-9, "plastic": lambda x: x[0] >= 0.5 - 1e-9}
    problem = MechanicsProblem(
        square(2, parts=parts), {"elastic": ELASTIC_2D, "plastic": PLASTIC_2D}, supports=[*HOLD, PULL]
    )
    paraview = Paraview(tmp_path / "run.pvd", state=["equivalent_plastic_strain"])
    march(problem, [1.0], observers=[paraview])
    values = paraview._fields["equivalent_plastic_strain"].x.array
    np.testing.assert_array_equal(values[problem.regions["elastic"].cells], 0.0)
    assert values[problem.regions["plastic"].cells].min() > 1e-3


def test_an_unknown_variable_lists_the_ones_there_are(tmp_path):
    with pytest.raises(SetupError, match=r"No law has an internal variable 'damage'; there are \['equivalent_plastic"):
        march(problem_with(), [1.0], observers=[Paraview(tmp_path / "run.pvd", state=["damage"])])


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"ParaView files end in \.bp .* or \.pvd; got .*run\.vtk"):
        march(problem_with(), [1.0], observers=[Paraview(tmp_path / "run.vtk")])


def test_files_of_a_run_that_failed_are_closed_and_readable(tmp_path):
    pyvista = pytest.importorskip("pyvista")
    spy = Spy(PLASTIC_2D)
    spy.fail = lambda strain, call: np.abs(strain).max() > 0.005
    solution = march(problem_with(spy), [0.25, 1.0], observers=[Paraview(tmp_path / "run.pvd")], strict=False)
    assert not solution.finished
    files = sorted(tmp_path.glob("*.vtu"))
    assert len(files) == 1 + len(solution.times)
    assert "displacement" in pyvista.read(files[-1]).point_data


# Progress -----------------------------------------------------------------------------------------------------------


def test_progress_shows_steps_iterations_and_cuts(capsys):
    spy = Spy(PLASTIC_2D)
    spy.fail = lambda strain, call: spy.dts[-1] > 0.6
    march(problem_with(spy), [1.0], observers=[Progress(1.0, description="plate")])
    printed = capsys.readouterr().out
    assert "plate" in printed
    assert "step 2" in printed
    assert "1 cuts" in printed
