"""The batched engine gives the answer of the general one, row by row, and knows what it does not cover."""

from mpi4py import MPI

import dolfinx
import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.materials import J2, LinearElastic, PlaneStrain, PlaneStress
from pointlaw.rve import batched
from pointlaw.rve.batched import BatchedEngine, covers
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.constraint import LinearDisplacement, Mixed, Periodic, UniformTraction
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.material import RVEMaterial
from pointlaw.testing import check_material

pytestmark = pytest.mark.fem

QUADRILATERAL, TRIANGLE = dolfinx.mesh.CellType.quadrilateral, dolfinx.mesh.CellType.triangle
FIBRE = PlaneStrain(LinearElastic(400e3, 0.2))
LAWS = {
    "linear": J2(70e3, 0.3, 200.0, H=1000.0),
    "voce": J2(70e3, 0.3, 200.0, H=300.0, Q=150.0, b=60.0),
}


def mesh_of(n=5, cell=QUADRILATERAL, corner=(1.0, 1.0), bend=0.0):
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0, 0], corner], [n, n], cell)
    x = mesh.geometry.x / [*corner, 1.0]
    bump = bend * np.sin(2 * np.pi * x[:, 0]) * np.sin(2 * np.pi * x[:, 1])
    mesh.geometry.x[:, :2] += np.outer(bump, corner)
    cells = np.arange(mesh.topology.index_map(2).size_local, dtype=np.int32)
    middle = dolfinx.mesh.compute_midpoints(mesh, 2, cells)[:, :2] / corner
    tags = 1 + (np.hypot(*(middle - 0.45).T) < 0.3).astype(np.int32)
    return TaggedMesh(mesh, dolfinx.mesh.meshtags(mesh, 2, cells, tags))


def element_of(law="linear", constraint=None, degree=1, **mesh):
    matrix = PlaneStrain(LAWS[law] if isinstance(law, str) else law)
    return VolumeElement(mesh_of(**mesh), {1: matrix, 2: FIBRE}, constraint or Periodic(), degree=degree)


def histories(n, steps, size, seed=0):
    """Loading, turning, unloading: ``[steps, n, 3]``."""
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, n, 3))
    up = np.linspace(0.0, 1.0, steps // 2 + 1)[1:, None, None]
    return size * np.concatenate([up * first, first + up * (0.5 * second - first)])


def compare(element, *, size=0.004, rows=9, steps=4, seed=0):
    fast, general = BatchedEngine(element, tolerance=1e-11), GeneralEngine(element, tolerance=1e-11)
    state = other = fast.initial_state(rows)
    for strain in histories(rows, steps, size, seed):
        ours = fast.solve(strain, state, 1.0, tangent=True)
        theirs = general.solve(strain, other, 1.0, tangent=True)
        assert (ours.status == 1).all()
        assert (theirs.status == 1).all()
        for name, tolerance in (("stress", 1e-9), ("tangent", 1e-7), ("state", 1e-9)):
            mine, reference = getattr(ours, name), getattr(theirs, name)
            assert np.abs(mine - reference).max() <= tolerance * np.abs(reference).max(), name
        state, other = ours.state, theirs.state
    plastic = element.phase_state(1, state[0])[:, -1]
    assert plastic.max() > 1e-3  # or nothing was compared
    return fast


@pytest.mark.parametrize(
    ("law", "mesh"),
    [
        ("linear", {}),
        ("voce", {"cell": TRIANGLE}),
        ("voce", {"bend": 0.05, "corner": (2.0, 1.0)}),
        ("linear", {"cell": TRIANGLE, "degree": 2, "n": 3}),
        ("voce", {"degree": 2, "n": 3}),
        ("linear", {"n": 2}),
    ],
    ids=["voxels", "triangles", "bent", "quadratic triangles", "quadratic voxels", "2 by 2"],
)
def test_stress_tangent_and_state_are_those_of_the_general_engine(law, mesh):
    assert compare(element_of(law, **mesh)).fallen == 0


@pytest.mark.parametrize("constraint", [LinearDisplacement(), Mixed("periodic", "linear")], ids=repr)
def test_other_constraints_with_one_leader_a_node_are_solved_too(constraint):
    assert compare(element_of(constraint=constraint)).fallen == 0


def test_a_single_phase_of_either_kind_is_solved():
    for law in (PlaneStrain(LAWS["voce"]), FIBRE):
        element = VolumeElement(mesh_of(3), law, Periodic())
        strain = np.array([[0.004, -0.001, 0.002]])
        fast = BatchedEngine(element).solve(strain, element.initial_state(1), 1.0, tangent=True)
        alone = law.update(strain, law.initial_state(1), 1.0)
        assert fast.stress == pytest.approx(alone.stress, rel=1e-12)
        assert fast.tangent == pytest.approx(alone.tangent, rel=1e-9)


@pytest.mark.parametrize("rows", [1, 3, 8, 19])
def test_a_row_is_the_same_to_the_last_bit_whatever_the_batch(rows):
    engine = BatchedEngine(element_of())
    strain = histories(rows, 2, 0.005)[0]
    state = engine.initial_state(rows)
    together = engine.solve(strain, state, 1.0, tangent=True)
    turned = engine.solve(strain[::-1], state, 1.0, tangent=True)
    for name in ("stress", "tangent", "state"):
        assert np.array_equal(getattr(together, name), getattr(turned, name)[::-1])
    for row in {0, rows - 1}:
        alone = engine.solve(strain[[row]], state[[row]], 1.0, tangent=True)
        assert np.array_equal(alone.stress[0], together.stress[row])
        assert np.array_equal(alone.tangent[0], together.tangent[row])


def test_the_volume_element_on_the_batched_engine_keeps_the_contract_of_a_material():
    law = RVEMaterial(mesh_of(4), {1: PlaneStrain(LAWS["linear"]), 2: FIBRE}, engine="batched", tolerance=1e-11)
    report = check_material(law, amplitude=0.004)
    assert report.ok, str(report)


def test_a_row_that_does_not_converge_here_is_answered_by_the_general_engine():
    element = element_of()
    strain = histories(5, 2, 0.01)[0]
    state = element.initial_state(5)
    hurried = BatchedEngine(element, tolerance=1e-10, iterations=1)
    hurried._general = GeneralEngine(element, tolerance=1e-10)
    answer = hurried.solve(strain, state, 1.0, tangent=True)
    reference = BatchedEngine(element, tolerance=1e-10).solve(strain, state, 1.0, tangent=True)
    assert hurried.fallen == 5
    assert (answer.status == 1).all()
    assert answer.stress == pytest.approx(reference.stress, rel=1e-9)


def test_a_row_without_answer_fails_and_the_rows_beside_it_do_not_notice():
    engine = BatchedEngine(element_of(n=3))
    strain = histories(9, 2, 0.004)[0]
    state = engine.initial_state(9)
    good = engine.solve(strain, state, 1.0, tangent=False)
    strain[4, 1] = np.nan
    mixed = engine.solve(strain, state, 1.0, tangent=False)
    rest = np.arange(9) != 4
    assert mixed.status.tolist() == np.where(rest, 1, -1).tolist()
    assert np.isnan(mixed.stress[4]).all()
    assert np.array_equal(mixed.state[4], state[4])
    assert np.array_equal(mixed.stress[rest], good.stress[rest])


def test_a_state_that_plane_strain_never_makes_is_left_to_the_general_engine():
    element = element_of(n=3)
    engine = BatchedEngine(element)
    state = engine.initial_state(2)
    element.phase_state(1, state[1])[0, 6] = 1e-3  # plastic strain √2·23
    strain = histories(2, 2, 0.004)[0]
    answer = engine.solve(strain, state, 1.0, tangent=False)
    reference = GeneralEngine(element).solve(strain, state, 1.0, tangent=False)
    assert engine.fallen == 1
    assert answer.stress == pytest.approx(reference.stress, rel=1e-7)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"phases": PlaneStress(LAWS["linear"])}, "plane strain"),
        ({"phases": {1: PlaneStrain(J2(70e3, 0.3, 200.0, C=1e3)), 2: FIBRE}}, "phase '1' has kinematic hardening"),
        ({"phases": {1: FIBRE, 2: PlaneStrain(J2(70e3, 0.3, 200.0, H=-10.0))}}, "phase '2' softens"),
        ({"constraint": UniformTraction()}, "some nodes follow several others"),
    ],
    ids=["plane stress", "kinematic", "softening", "uniform traction"],
)
def test_what_is_not_covered_is_said_and_solved_by_the_general_engine(change, sentence):
    arguments = {"phases": {1: PlaneStrain(LAWS["linear"]), 2: FIBRE}, "constraint": Periodic()} | change
    element = VolumeElement(mesh_of(3), arguments["phases"], arguments["constraint"])
    assert sentence in str(covers(element))
    with pytest.raises(InputError, match=sentence):
        RVEMaterial(mesh_of(3), **arguments, engine="batched")
    assert isinstance(RVEMaterial(mesh_of(3), **arguments).engine, GeneralEngine)


def test_without_a_compiler_the_general_engine_is_taken_and_the_log_says_why(monkeypatch, caplog):
    def missing(name):
        raise batched.EnvironmentProblem("There is no C compiler on PATH.")

    monkeypatch.setattr(batched, "load_library", missing)
    with caplog.at_level("INFO"):
        law = RVEMaterial(mesh_of(3), {1: PlaneStrain(LAWS["linear"]), 2: FIBRE})
    assert isinstance(law.engine, GeneralEngine)
    assert "no C compiler" in caplog.text


def test_the_batched_engine_is_chosen_where_it_covers_the_element():
    law = RVEMaterial(mesh_of(3), {1: PlaneStrain(LAWS["linear"]), 2: FIBRE})
    assert isinstance(law.engine, BatchedEngine)
