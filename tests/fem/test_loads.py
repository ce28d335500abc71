"""Supports and loads: what the user says is what acts, and nonsense is refused with a sentence."""

import numpy as np
import pytest
from fem_bodies import ELASTIC_2D, ELASTIC_3D, cube, mesh_of, square

from pointlaw.errors import InputError, MeshError, SetupError
from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Point, Pressure, Traction, march
from pointlaw.fem.loads import Evaluator

pytestmark = pytest.mark.fem

HOLD = (Displacement("left", x=0.0), Displacement("bottom", y=0.0))
CLAMP = (Displacement("left", x=0.0, y=0.0),)


# Values -------------------------------------------------------------------------------------------------------------


def test_a_value_is_a_number_or_a_function_of_time_or_of_place_and_time():
    x = np.array([[0.0, 1.0, 2.0], [0, 0, 0], [0, 0, 0]])
    assert Evaluator(3.0, "it").at(9.0) == 3.0
    assert Evaluator(lambda t: 2 * t, "it").at(9.0) == 18.0
    assert Evaluator(np.sin, "it").at(0.5) == np.sin(0.5)
    assert not Evaluator(lambda t: 2 * t, "it").varies
    varying = Evaluator(lambda x, t: x[0] * t, "it")
    assert varying.varies
    np.testing.assert_array_equal(varying.over(x, 2.0), [0.0, 2.0, 4.0])


def test_default_arguments_do_not_count_as_arguments():
    assert not Evaluator(lambda t, rate=2.0: rate * t, "it").varies


def test_a_function_of_place_may_answer_one_number_for_all():
    np.testing.assert_array_equal(Evaluator(lambda x, t: 5.0, "it").over(np.zeros((3, 4)), 0.0), np.full(4, 5.0))


@pytest.mark.parametrize("function", [lambda: 1.0, lambda x, y, t: 1.0])
def test_a_function_of_no_or_three_arguments_is_refused(function):
    with pytest.raises(InputError, match=r"The pull is a function of [03] arguments; use f\(t\) or f\(x, t\)"):
        Evaluator(function, "The pull")


@pytest.mark.parametrize("value", [np.nan, np.inf, lambda t: -np.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match=r"The pull at t = 2 is .*; loads are finite numbers"):
        Evaluator(value, "The pull").at(2.0)


@pytest.mark.parametrize("value", ["ten", None, lambda t: [1.0, 2.0]])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(InputError, match=r"The pull at t = 2 is .*not a number"):
        Evaluator(value, "The pull").at(2.0)


def test_a_field_that_is_not_finite_somewhere_is_refused():
    with pytest.raises(InputError, match="The pull at t = 0 has values that are not finite"):
        Evaluator(lambda x, t: 1.0 / x[0], "The pull").over(np.ones((3, 2)) * [1.0, np.nan], 0.0)


def test_a_displacement_that_prescribes_nothing_is_refused():
    with pytest.raises(InputError, match="Displacement at 'left' prescribes nothing; give x, y or z"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=[Displacement("left")])


# Supports -----------------------------------------------------------------------------------------------------------


def solved(*, body=None, law=ELASTIC_2D, supports=HOLD, loads=(), t=1.0, **options):
    problem = MechanicsProblem(body or square(2), law, supports=supports, loads=loads, **options)
    march(problem, [t])
    return problem


def displacement(problem):
    """Return coordinates and displacement of the nodes, ``[n, dim]`` each."""
    dim = problem.body.mesh.geometry.dim
    return problem.V.tabulate_dof_coordinates()[:, :dim], problem.u.x.array.reshape(-1, dim)


def test_a_direction_that_the_mesh_lacks_is_refused():
    with pytest.raises(SetupError, match="Displacement at 'left' prescribes z of a 2D mesh"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=[*CLAMP, Displacement("left", z=0.0)])


def test_a_support_at_a_name_that_the_mesh_lacks_lists_the_names():
    with pytest.raises(MeshError, match="no facets tagged 'lef'; it has 'left'"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=[Displacement("lef", x=0.0)])


def test_supports_follow_the_time_and_several_components_at_once():
    problem = solved(supports=[*CLAMP, Displacement("right", x=lambda t: 0.01 * t, y=lambda t: -0.02 * t)], t=0.5)
    x, u = displacement(problem)
    np.testing.assert_allclose(u[x[:, 0] == 1.0], np.tile([0.005, -0.01], (3, 1)), atol=1e-15)


def test_a_support_may_vary_in_space_and_time():
    supports = [Displacement(side, x=lambda x, t: 0.01 * t * x[0], y=lambda x, t: -0.02 * t * x[1] * x[0])
                for side in ("left", "right", "bottom", "top")]  # fmt: skip
    x, u = displacement(solved(supports=supports, t=2.0))
    edge = np.any((x == 0.0) | (x == 1.0), axis=1)
    np.testing.assert_allclose(u[edge], np.stack([0.02 * x[:, 0], -0.04 * x[:, 0] * x[:, 1]], axis=1)[edge], atol=1e-15)


def test_points_hold_a_body_without_constraining_its_sides():
    supports = [
        Displacement("left", x=0.0),
        Displacement(Point(0.0, 0.0), y=0.0),
        Displacement("right", x=0.01),
    ]
    x, u = displacement(solved(supports=supports))
    contraction = 0.3 / 0.7  # plane strain
    np.testing.assert_allclose(u, np.stack([0.01 * x[:, 0], -0.01 * contraction * x[:, 1]], axis=1), atol=1e-14)


def test_a_point_where_no_node_is_is_an_error():
    with pytest.raises(MeshError, match=r"no node at the place Point\(x=0\.123"):
        MechanicsProblem(square(2), ELASTIC_2D, supports=[*CLAMP, Displacement(Point(0.123, 0.4), y=0.0)])


def held(problem):
    """Return the places ``[n, 2]`` of the nodes that the first support holds in x."""
    dofs = problem.supports.bcs[0].dof_indices()[0]
    return problem.V.tabulate_dof_coordinates()[np.unique(dofs // 2), :2]


def held_at(point, body=None, **options):
    supports = [Displacement(point, x=0.0), *CLAMP]
    return held(MechanicsProblem(body or square(10), ELASTIC_2D, supports=supports, **options))


@pytest.mark.parametrize("degree", [1, 2])
def test_a_point_is_the_nearest_of_the_nodes_within_its_tolerance(degree):
    np.testing.assert_allclose(held_at(Point(0.52, 0.0, tolerance=0.2), degree=degree), [[0.5, 0.0]], atol=1e-12)


def test_a_point_in_the_middle_between_nodes_is_one_of_them():
    np.testing.assert_allclose(held_at(Point(0.55, 0.25, tolerance=0.2)), [[0.5, 0.2]], atol=1e-12)


def test_a_point_on_a_slit_is_both_of_its_lips():
    # Two squares side by side that share no node: (1, 0) and (1, 1) are there twice.
    x = [[0, 0], [1, 0], [0, 1], [1, 1], [1, 0], [2, 0], [1, 1 + 1e-15], [2, 1]]
    body = mesh_of([[0, 1, 2, 3], [4, 5, 6, 7]], x, "quadrilateral")
    supports = [
        Displacement(Point(1.02, 0.99, tolerance=0.1), x=0.0),
        *(Displacement(lambda x, a=a: np.isclose(x[0], a), x=0, y=0) for a in (0.0, 2.0)),
    ]
    np.testing.assert_allclose(held(MechanicsProblem(body, ELASTIC_2D, supports=supports)), [[1, 1], [1, 1]])


def test_a_field_may_be_prescribed_at_a_point():
    supports = [*CLAMP, Displacement(Point(1.02, 0.98, tolerance=0.1), x=lambda x, t: 0.01 * t * x[1])]
    x, u = displacement(solved(supports=supports))
    assert u[np.all(np.isclose(x, 1.0), axis=1), 0] == pytest.approx(0.01, rel=1e-12)


def test_a_support_by_a_function_of_the_coordinates_holds_nodes():
    supports = [Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0), Displacement("right", x=0.01)]
    x, u = displacement(solved(supports=supports))
    np.testing.assert_array_equal(u[x[:, 0] == 0.0], 0.0)


def test_a_field_on_nodes_chosen_by_a_function_is_prescribed():
    supports = [*CLAMP, Displacement(lambda x: np.isclose(x[0], 1.0), y=lambda x, t: 0.01 * t * x[1])]
    x, u = displacement(solved(supports=supports))
    right = x[:, 0] == 1.0
    np.testing.assert_allclose(u[right, 1], 0.01 * x[right, 1], atol=1e-15)


# Loads: what acts is balanced by the supports -----------------------------------------------------------------------


def test_a_traction_that_follows_the_time_is_balanced_by_the_reaction():
    problem = solved(supports=CLAMP, loads=[Traction("right", (lambda t: 3.0 * t, -1.0))], t=2.0)
    np.testing.assert_allclose(problem.reaction("left"), [-6.0, 1.0], atol=1e-11)


def test_a_traction_may_vary_in_space():
    problem = solved(supports=CLAMP, loads=[Traction("right", (0.0, lambda x, t: 2.0 * t * x[1]))])
    np.testing.assert_allclose(problem.reaction("left"), [0.0, -1.0], atol=1e-11)


def test_a_positive_pressure_pushes_against_the_body():
    problem = solved(supports=CLAMP, loads=[Pressure("right", 4.0)])
    np.testing.assert_allclose(problem.reaction("left"), [4.0, 0.0], atol=1e-11)


def test_a_pressure_on_an_inclined_side_acts_along_its_normal():
    body = square(2)
    x = body.mesh.geometry.x
    x[:, 0] += 0.5 * x[:, 0] * x[:, 1]  # the right side leans: from (1, 0) to (1.5, 1)
    problem = solved(body=body, supports=CLAMP, loads=[Pressure("right", lambda t: 2.0 * t)])
    np.testing.assert_allclose(problem.reaction("left"), [2.0, -1.0], atol=1e-11)


def test_a_body_force_acts_on_the_whole_body():
    problem = solved(supports=CLAMP, loads=[BodyForce((0.0, lambda t: -5.0 * t))])
    np.testing.assert_allclose(problem.reaction("left"), [0.0, 5.0], atol=1e-11)


def test_a_body_force_on_one_part_acts_there_only():
    parts = {"core": lambda x: x[0] <= 0.25 + 1e-9, "rim": lambda x: x[0] >= 0.25 - 1e-9}
    problem = solved(body=square(4, parts=parts), supports=CLAMP, loads=[BodyForce((0.0, -8.0), where="core")])
    np.testing.assert_allclose(problem.reaction("left"), [0.0, 2.0], atol=1e-11)


def test_loads_on_two_sides_add_up():
    loads = [Traction("right", (1.0, 0.0)), Traction("top", (0.0, 2.0)), Pressure("bottom", 1.0), BodyForce((1.0, 1.0))]
    problem = solved(supports=CLAMP, loads=loads)
    np.testing.assert_allclose(problem.reaction("left"), [-2.0, -4.0], atol=1e-11)


def test_a_three_dimensional_body_balances_all_loads():
    loads = [Traction("right", (1.0, 2.0, 3.0)), Pressure("top", 4.0), BodyForce((0.0, 0.0, lambda x, t: x[0]))]
    problem = solved(body=cube(2), law=ELASTIC_3D, supports=[Displacement("left", x=0, y=0, z=0)], loads=loads)
    np.testing.assert_allclose(problem.reaction("left"), [-1.0, 2.0, -3.5], atol=1e-10)


def test_a_load_with_a_component_too_few_is_refused():
    with pytest.raises(SetupError, match="Traction at 'right' has 3 components, but the mesh has 2 dimensions"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=CLAMP, loads=[Traction("right", (1.0, 0.0, 0.0))])


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (Traction("right", 5.0), r"Traction at 'right' has the value 5\.0; give one for each direction"),
        (Traction("right", lambda t: (t, 0.0)), r"the value a function; give one for each direction"),
        (Traction("right", None), r"the value None; give one for each direction"),
        (Traction("right", "xy"), r"the value 'xy'; give one for each direction"),
        (BodyForce(-9.81), r"BodyForce on the whole body has the value -9\.81; give one for each direction"),
        (Traction((1.0, 0.0), (1.0, 0.0)), r"\(1\.0, 0\.0\) is no place; a place is a name, a tag, a Point or a func"),
        (BodyForce((0.0, 1.0), where=2.5), r"2\.5 is no place"),
        (Displacement("right", x=1.0), r"loads holds Displacement\(.*; put it into supports"),
    ],
)
def test_a_load_that_makes_no_sense_gets_a_sentence(load, sentence):
    with pytest.raises(InputError, match=sentence):
        MechanicsProblem(square(1), ELASTIC_2D, supports=CLAMP, loads=[load])


@pytest.mark.parametrize(
    ("supports", "sentence"),
    [
        ([Displacement((0.0, 0.0), x=0.0)], r"\(0\.0, 0\.0\) is no place; a place is a name, a tag, a Point or a func"),
        ([Displacement(None, x=0.0)], "None is no place"),
        ([Traction("right", (1.0, 0.0))], r"supports holds Traction\(.*; put it into loads"),
        (Displacement("left", x=0.0), r"supports = Displacement\(.*must be a list"),
    ],
)
def test_a_support_that_makes_no_sense_gets_a_sentence(supports, sentence):
    with pytest.raises(InputError, match=sentence):
        MechanicsProblem(square(1), ELASTIC_2D, supports=supports)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x, t: np.zeros(3), r"has the shape \(3,\), but there are \d+ coordinates x\[3, n\]"),
        (lambda x, t: x, r"has the shape \(3, \d+\), but"),
        (lambda x, t: "much", "is 'much', no numbers"),
        (lambda x, t: None, "has values that are not finite"),
    ],
)
def test_a_field_of_a_wrong_shape_gets_a_sentence(function, sentence):
    problem = MechanicsProblem(square(2), ELASTIC_2D, supports=CLAMP, loads=[Traction("right", (function, 0.0))])
    with pytest.raises(InputError, match="Traction at 'right', x at t = 1 " + sentence):
        march(problem, [1.0])


def test_a_load_on_a_place_that_the_mesh_lacks_lists_the_places():
    with pytest.raises(MeshError, match="no facets tagged 'rihgt'; it has 'left'"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=CLAMP, loads=[Pressure("rihgt", 1.0)])


def test_a_load_that_becomes_nan_is_refused_when_it_does_with_its_name_and_time():
    problem = MechanicsProblem(
        square(1), ELASTIC_2D, supports=CLAMP, loads=[Traction("right", (lambda t: np.nan if t > 1.5 else t, 0.0))]
    )
    with pytest.raises(InputError, match="Traction at 'right', x at t = 2 is nan"):
        march(problem, [1.0, 2.0])
    assert problem.time == 1.0
