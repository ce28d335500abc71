"""A region is a plugin: a law in a user's own form, and several laws in one body."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import weakref

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import NonlinearProblem
from fem_bodies import ELASTIC_2D, ELASTIC_3D, PLASTIC_2D, Spy, cube, square

from pointlaw.errors import MeshError, SetupError
from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, QuadratureFields, Region, attach, march
from pointlaw.materials import J2, LinearElastic, PlaneStrain

pytestmark = pytest.mark.fem

HOLD = (Displacement("left", x=0.0), Displacement("bottom", y=0.0))
PULL = Displacement("right", x=lambda t: 0.01 * t)
HALVES = {"left half": lambda x: x[0] <= 0.5 + 1e-9, "right half": lambda x: x[0] >= 0.5 - 1e-9}


def own_problem(body, law, prefix):
    """Put a law into one's own form: what a user writes who has a form already."""
    V = fem.functionspace(body.mesh, ("Lagrange", 1, (2,)))
    u, v, du = fem.Function(V), ufl.TestFunction(V), ufl.TrialFunction(V)
    region = Region(law, u)
    F = ufl.inner(region.stress, region.virtual_strain(v)) * region.dx
    J = region.derivative(F, u, du)
    pull = fem.Constant(body.mesh, 0.0)
    still = fem.Constant(body.mesh, 0.0)
    bcs = [
        fem.dirichletbc(value, fem.locate_dofs_topological(V.sub(axis), 1, body.facets(side)), V.sub(axis))
        for value, axis, side in ((still, 0, "left"), (still, 1, "bottom"), (pull, 0, "right"))
    ]
    options = {"ksp_type": "preonly", "pc_type": "lu", "snes_rtol": 1e-10, "snes_atol": 1e-10}
    problem = NonlinearProblem(F, u, J=J, bcs=bcs, petsc_options_prefix=prefix, petsc_options=options)
    attach(problem, region)
    return problem, region, u, pull


def test_a_law_in_a_form_of_ones_own_gives_what_the_problem_class_gives():
    problem, region, u, pull = own_problem(square(3), PLASTIC_2D, "test_region_own_")
    for value in (0.004, 0.01):
        pull.value = value
        problem.solve()
        assert problem.solver.getConvergedReason() > 0
        region.commit()
    ready = MechanicsProblem(square(3), PLASTIC_2D, supports=[*HOLD, PULL], rtol=1e-12)
    march(ready, [0.4, 1.0])
    np.testing.assert_allclose(u.x.array, ready.u.x.array, atol=1e-11)
    np.testing.assert_allclose(region.history.committed, ready.regions["body"].history.committed, atol=1e-10)
    assert region.history.updates == 2


def test_a_law_whose_states_are_wider_than_its_layout_is_refused():
    class Wide(LinearElastic):
        def initial_state(self, points):
            return np.zeros((points, 2))

    u = fem.Function(fem.functionspace(cube(1).mesh, ("Lagrange", 1, (3,))))
    with pytest.raises(SetupError, match=r"'body' makes states of shape \(\d+, 2\), .* has 0 numbers .* mend Wide"):
        Region(Wide(1.0, 0.3), u)


def test_a_point_that_fails_in_a_form_of_ones_own_is_seen_in_the_reason_of_the_solver():
    spy = Spy(PLASTIC_2D, fail=lambda strain, call: np.arange(len(strain)) == 2)
    problem, region, u, pull = own_problem(square(2), spy, "test_region_fails_")
    pull.value = 0.01
    problem.solve()
    assert problem.solver.getConvergedReason() < 0
    region.rollback()
    u.x.array[:] = 0.0
    spy.fail = None
    problem.solve()
    assert problem.solver.getConvergedReason() > 0


@pytest.mark.parametrize("kind", ["own form", "problem class"])
def test_a_problem_that_is_dropped_is_gone_at_once(kind):
    # A solver that kept it alive would use up the MPI communicators after about two hundred problems.
    if kind == "own form":
        problem, region, _, pull = own_problem(square(2), ELASTIC_2D, "test_region_dropped_")
        pull.value = 0.01
        problem.solve()
    else:
        problem = MechanicsProblem(square(2), ELASTIC_2D, supports=[*HOLD, PULL])
        march(problem, [1.0])
        region = problem.regions["body"]
    watched = [weakref.ref(problem), weakref.ref(region)]
    del problem, region
    assert [reference() for reference in watched] == [None, None]


def test_two_regions_in_a_form_of_ones_own_share_their_fields():
    body = square(4, parts=HALVES)
    V = fem.functionspace(body.mesh, ("Lagrange", 1, (2,)))
    u, v = fem.Function(V), ufl.TestFunction(V)
    u.interpolate(lambda x: np.stack([0.001 * x[0], 0.0 * x[1]]))
    stiff = PlaneStrain(LinearElastic(E=5000.0, nu=0.3))
    fields = QuadratureFields(body.mesh, ELASTIC_2D.kinematics, 2)
    laws = dict(zip(HALVES, (ELASTIC_2D, stiff), strict=True))
    regions = [Region(law, u, cells=body.cells(part), fields=fields) for part, law in laws.items()]
    for region in regions:
        region.evaluate(1.0)
    F = sum(ufl.inner(region.stress, region.virtual_strain(v)) * region.dx for region in regions)
    forces = fem.assemble_vector(fem.form(F)).array.reshape(-1, 2)
    x = V.tabulate_dof_coordinates()
    confined = 0.7 / (1.3 * 0.4) * 0.001  # (1 − ν)/((1 + ν)(1 − 2ν)) ε, times E
    assert forces[np.isclose(x[:, 0], 1.0), 0].sum() == pytest.approx(5000.0 * confined)
    assert forces[np.isclose(x[:, 0], 0.0), 0].sum() == pytest.approx(-1000.0 * confined)
    assert forces[np.isclose(x[:, 0], 0.5), 0].sum() == pytest.approx(-4000.0 * confined)


def test_an_eigenstrain_can_be_added_to_the_strain_of_a_region():
    body = square(2)
    V = fem.functionspace(body.mesh, ("Lagrange", 1, (2,)))
    u = fem.Function(V)
    swelling = fem.Constant(body.mesh, 0.01)
    own = ufl.as_vector([ufl.grad(u)[0, 0] - swelling, ufl.grad(u)[1, 1] - swelling, ufl.grad(u)[0, 1] * 0.0])
    region = Region(ELASTIC_2D, u, expression=own)
    region.evaluate(1.0)
    strain = np.array([[-0.01, -0.01, 0.0]])
    expected = ELASTIC_2D.update(strain, ELASTIC_2D.initial_state(1), 1.0).stress
    np.testing.assert_allclose(region.stress.x.array.reshape(-1, 3), np.repeat(expected, region.size, axis=0))


def test_evaluation_without_tangent_leaves_the_tangent_alone():
    problem = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL])
    region = problem.regions["body"]
    march(problem, [1.0])
    before = region.tangent.x.array.copy()
    problem.u.x.array[:] *= 0.5
    region.evaluate(1.0, tangent=False)
    np.testing.assert_array_equal(region.tangent.x.array, before)
    region.evaluate(1.0, tangent=True)
    assert np.abs(region.tangent.x.array - before).max() > 1.0


def test_a_rollback_brings_back_stress_tangent_and_status():
    problem = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL])
    region = problem.regions["body"]
    march(problem, [1.0])
    stress, tangent = region.stress.x.array.copy(), region.tangent.x.array.copy()
    problem.u.x.array[:] = 0.3
    problem.u.x.array[::3] = -2.0
    region.evaluate(1.0)
    assert np.abs(region.stress.x.array - stress).max() > 1e-3
    region.rollback()
    np.testing.assert_array_equal(region.stress.x.array, stress)
    np.testing.assert_array_equal(region.tangent.x.array, tangent)
    assert np.all(region.status == 1)


def test_nothing_can_be_committed_that_was_not_evaluated():
    problem = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL])
    region = problem.regions["body"]

    def refused():
        before = region.history.committed.copy()
        with pytest.raises(SetupError, match="Region 'body' has nothing to commit"):
            region.commit()
        np.testing.assert_array_equal(region.history.committed, before)

    refused()  # the trial state is memory that nobody wrote
    region.evaluate(1.0)
    region.commit()
    refused()
    region.evaluate(1.0)
    region.rollback()
    refused()
    assert region.history.updates == 1


# Several materials --------------------------------------------------------------------------------------------------


def test_two_materials_in_series_carry_the_same_force_and_share_the_stretch():
    # Confined columns (no lateral strain): the stress is M ε with M = E (1 − ν)/((1 + ν)(1 − 2ν)).
    soft, stiff = LinearElastic(E=1000.0, nu=0.3), LinearElastic(E=4000.0, nu=0.2)
    moduli = [1000.0 * 0.7 / (1.3 * 0.4), 4000.0 * 0.8 / (1.2 * 0.6)]
    body = cube(2, parts=HALVES)
    supports = [Displacement(side, y=0.0) for side in ("bottom", "top")]
    supports += [Displacement(side, z=0.0) for side in ("back", "front")]
    supports += [Displacement("left", x=0.0), Displacement("right", x=0.01)]
    problem = MechanicsProblem(body, {"left half": soft, "right half": stiff}, supports=supports)
    march(problem, [1.0])
    force = 0.01 / (0.5 / moduli[0] + 0.5 / moduli[1])
    np.testing.assert_allclose(problem.reaction("right"), [force, 0.0, 0.0], atol=1e-10)
    x = problem.V.tabulate_dof_coordinates()
    middle = problem.u.x.array.reshape(-1, 3)[np.isclose(x[:, 0], 0.5), 0]
    np.testing.assert_allclose(middle, 0.5 * force / moduli[0], rtol=1e-10)


def test_materials_may_be_given_by_tag_number_or_name():
    named = {"left half": ELASTIC_2D, "right half": PLASTIC_2D}
    by_name = MechanicsProblem(square(2, parts=HALVES), named, supports=[*HOLD, PULL])
    by_number = MechanicsProblem(square(2, parts=HALVES), {1: ELASTIC_2D, 2: PLASTIC_2D}, supports=[*HOLD, PULL])
    for problem in (by_name, by_number):
        march(problem, [1.0])
    np.testing.assert_array_equal(by_name.u.x.array, by_number.u.x.array)
    assert list(by_number.regions) == ["1", "2"]


def test_the_same_material_in_two_regions_is_one_region():
    whole = MechanicsProblem(square(4, parts=HALVES), PLASTIC_2D, supports=[*HOLD, PULL])
    halves = MechanicsProblem(square(4, parts=HALVES), dict.fromkeys(HALVES, PLASTIC_2D), supports=[*HOLD, PULL])
    for problem in (whole, halves):
        march(problem, [0.5, 1.0])
    np.testing.assert_allclose(halves.u.x.array, whole.u.x.array, atol=1e-13)
    np.testing.assert_allclose(halves.fields.stress.x.array, whole.fields.stress.x.array, atol=1e-10)


def test_a_failure_names_the_region_and_the_law_and_the_place():
    spy = Spy(PLASTIC_2D, fail=lambda strain, call: np.arange(len(strain)) == 3)
    laws = {"left half": PLASTIC_2D, "right half": spy}
    problem = MechanicsProblem(square(2, parts=HALVES), laws, supports=[*HOLD, PULL])
    report = problem.solve(1.0, 1.0)
    assert report.reason == "MATERIAL_FAILED"
    assert report.failed_points == 1
    assert report.detail.startswith("Spy failed at 1 point(s) of region 'right half', the first near x = (")
    place = [float(v) for v in report.detail.split("(")[-1].split(")")[0].split(",")]
    assert place[0] > 0.5


def test_points_out_of_range_are_counted_and_do_not_stop_the_run():
    class Wary(Spy):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            answer.status[strain[:, 0] > 0.005] = 0
            return answer

    problem = MechanicsProblem(square(2), Wary(ELASTIC_2D), supports=[*HOLD, PULL])
    solution = march(problem, [0.4, 1.0])
    assert [report.out_of_range_points for report in solution.reports] == [0, 16]
    assert solution.stats.out_of_range_points == 16


# What does not fit --------------------------------------------------------------------------------------------------


def test_a_three_dimensional_law_on_a_plane_mesh_says_what_to_wrap():
    with pytest.raises(SetupError, match=r"small_strain_3d .*does not fit .* dimension 2: wrap it \(PlaneStrain"):
        MechanicsProblem(square(1), ELASTIC_3D, supports=HOLD)


def test_a_plane_law_on_a_solid_mesh_is_refused():
    with pytest.raises(SetupError, match=r"plane_strain .*does not fit a mesh of dimension 3"):
        MechanicsProblem(cube(1), ELASTIC_2D, supports=HOLD)


def test_regions_of_different_kinematics_are_refused():
    from pointlaw.materials import Axisymmetric

    with pytest.raises(SetupError, match="region 'right half' has kinematics axisymmetric"):
        MechanicsProblem(
            square(2, parts=HALVES),
            {"left half": ELASTIC_2D, "right half": Axisymmetric(ELASTIC_3D)},
            supports=HOLD,
        )


def test_cells_without_a_material_are_counted_and_the_tags_listed():
    with pytest.raises(SetupError, match=r"2 cells .*have no material .*the cell tags are \[1, 2\]"):
        MechanicsProblem(square(2, parts=HALVES), {"left half": ELASTIC_2D}, supports=HOLD)


def test_cells_with_two_materials_are_refused():
    with pytest.raises(SetupError, match="2 have two"):
        MechanicsProblem(
            square(2, parts=HALVES), {"left half": ELASTIC_2D, 1: PLASTIC_2D, 2: ELASTIC_2D}, supports=HOLD
        )


def test_a_material_for_a_part_that_the_mesh_lacks_lists_the_parts():
    with pytest.raises(MeshError, match="no cells tagged 'middle'; it has 'left half'"):
        MechanicsProblem(square(2, parts=HALVES), {"middle": ELASTIC_2D}, supports=HOLD)


def test_no_material_at_all_is_refused():
    with pytest.raises(SetupError, match="has no material"):
        MechanicsProblem(square(1), {}, supports=HOLD)


def test_a_body_force_in_one_part_does_not_touch_the_other():
    problem = MechanicsProblem(
        square(2, parts=HALVES),
        {"left half": ELASTIC_2D, "right half": PlaneStrain(J2(E=10.0, nu=0.3, yield_stress=1e9))},
        supports=[*HOLD, Displacement("right", x=0.0), Displacement("top", y=0.0)],
        loads=[BodyForce((1.0, 0.0), where="right half")],
        petsc_options={"snes_linesearch_type": "basic"},
    )
    march(problem, [1.0])
    assert problem.reaction("right")[0] + problem.reaction("left")[0] == pytest.approx(-0.5)
