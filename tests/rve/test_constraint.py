"""The map u = D·E + P·w of each boundary condition, on boxes of simplices and of voxels."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.errors import InputError, MeshError
from pointlaw.fem import TaggedMesh
from pointlaw.materials import FinitePlaneStrain, LinearElastic, NeoHooke, PlaneStrain
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.constraint import LinearDisplacement, Mixed, Periodic, UniformTraction
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.microstructure import Image
from pointlaw.tensors import from_mandel

pytestmark = pytest.mark.fem
SOLID = LinearElastic(1.0, 0.3)
PLANE = PlaneStrain(SOLID)
EVERY = [Periodic, LinearDisplacement, UniformTraction]


def rectangle(nx=4, ny=3, *, size=(2.0, 1.0), cell=dolfinx.mesh.CellType.triangle):
    return dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0.0, 0.0], size], [nx, ny], cell_type=cell)


def unmatched_square(*, void=False):
    """A unit square of triangles whose right face has other nodes than its left one."""
    x = np.array([[0, 0], [0, 0.4], [0, 1], [1, 0], [1, 0.7], [1, 1], [0.5, 0], [0.5, 1]], dtype=float)
    cells = np.array([[0, 6, 1], [1, 6, 4], [6, 3, 4], [1, 4, 7], [1, 7, 2], [4, 5, 7]])
    cells = cells[:-1] if void else cells
    import basix.ufl
    import ufl

    domain = ufl.Mesh(basix.ufl.element("Lagrange", "triangle", 1, shape=(2,)))
    return dolfinx.mesh.create_mesh(MPI.COMM_SELF, cells.astype(np.int64), domain, x)


def boundary_average(element, w):
    """∫ w ⊗ n dA over the box, from the nodal weights of its faces."""
    nodes, field = element.nodes, (element.P @ w).reshape(-1, element.body.dim)
    return np.stack([field.T @ (nodes.face_weights(a, 1) - nodes.face_weights(a, 0)) for a in range(nodes.dim)], axis=1)


@pytest.mark.parametrize(
    "constraint", [*EVERY, lambda: Mixed("periodic", "linear"), lambda: Mixed("traction", "linear")]
)
@pytest.mark.parametrize("degree", [1, 2])
def test_fluctuations_carry_no_mean_strain(constraint, degree):
    element = VolumeElement(rectangle(), PLANE, constraint(), degree=degree)
    w = np.random.default_rng(0).normal(size=element.free)
    assert np.abs(boundary_average(element, w)).max() < 1e-13


@pytest.mark.parametrize("constraint", EVERY)
def test_fluctuations_contain_no_rigid_motion_in_3d(constraint):
    box = dolfinx.mesh.create_box(MPI.COMM_SELF, [[0, 0, 0], [1, 2, 1]], [2, 3, 2])
    element = VolumeElement(box, SOLID, constraint())
    x = element.x - element.x.mean(axis=0)
    rigid = [np.tile(e, (len(x), 1)) for e in np.eye(3)] + [np.cross(e, x) for e in np.eye(3)]
    for motion in rigid:
        best, *_ = np.linalg.lstsq(element.P.toarray(), motion.ravel(), rcond=None)
        assert np.linalg.norm(element.P @ best - motion.ravel()) > 0.1 * np.linalg.norm(motion)


def test_the_macroscopic_part_is_the_linear_displacement():
    element = VolumeElement(rectangle(), PLANE, Periodic())
    strain = np.array([0.1, -0.2, 0.05])
    moved = (element.D @ strain).reshape(-1, 2)
    np.testing.assert_allclose(moved, (element.x - [1.0, 0.5]) @ from_mandel(strain), atol=1e-15)


def test_at_finite_strain_the_macroscopic_part_turns_too():
    law = FinitePlaneStrain(NeoHooke(1.0, 10.0))
    element = VolumeElement(rectangle(), law, Periodic())
    F = np.array([[0.0, -1.0], [1.0, 0.0]])  # a quarter turn
    u = element.displacement(F.ravel(), element.initial_state(1)[0]).reshape(-1, 2)
    np.testing.assert_allclose(element.x + u - [1.0, 0.5], (element.x - [1.0, 0.5]) @ F.T, atol=1e-14)


def test_periodic_fluctuations_are_equal_across_the_faces():
    element = VolumeElement(rectangle(5, 4), PLANE, Periodic())
    w = element.P @ np.random.default_rng(1).normal(size=element.free)
    field = {tuple(np.round(x, 9)): v for x, v in zip(element.x, w.reshape(-1, 2), strict=True)}
    for (x, y), value in field.items():
        assert np.array_equal(value, field[(x % 2.0, y % 1.0)])


def test_faces_that_do_not_match_are_tied_on_the_average_and_pass_the_patch_test():
    element = VolumeElement(unmatched_square(), PLANE, Periodic())
    engine = GeneralEngine(element)
    strain = np.array([[1e-3, -2e-3, 5e-4]])
    answer = engine.solve(strain, engine.initial_state(1), 1.0, tangent=True)
    expected = PLANE.update(strain, np.zeros((1, PLANE.state_layout.size)), 1.0)
    np.testing.assert_allclose(answer.stress, expected.stress, rtol=1e-13)
    np.testing.assert_allclose(answer.tangent, expected.tangent, atol=1e-12)


def unmatched_box():
    """A cube of tetrahedra whose upper faces are cut along the other diagonal than the lower ones."""
    gmsh = pytest.importorskip("gmsh")
    from dolfinx.io.gmsh import model_to_mesh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        gmsh.model.addPhysicalGroup(3, [1], 1)
        for dim, tag in gmsh.model.getBoundary([(3, 1)], oriented=False, recursive=True):
            x = gmsh.model.getValue(dim, tag, [])
            gmsh.model.mesh.setSize([(dim, tag)], 0.5 + 0.4 * (x[0] > 0.5) + 0.2 * (x[1] > 0.5))
        gmsh.model.mesh.generate(3)
        return model_to_mesh(gmsh.model, MPI.COMM_SELF, 0, gdim=3).mesh
    finally:
        gmsh.finalize()


@pytest.mark.parametrize("degree", [1, 2])
def test_faces_of_a_box_that_do_not_match_pass_the_patch_test(degree):
    element = VolumeElement(unmatched_box(), SOLID, Periodic(), degree=degree)
    assert len(element.nodes.across(0)[0]) < element.nodes.across(0)[1].nnz  # they do not match indeed
    engine = GeneralEngine(element)
    strain = np.array([[1e-3, -2e-3, 5e-4, 1e-4, 2e-4, -7e-4]])
    answer = engine.solve(strain, engine.initial_state(1), 1.0, tangent=True)
    expected = SOLID.update(strain, np.zeros((1, 0)), 1.0)
    np.testing.assert_allclose(answer.stress, expected.stress, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(answer.tangent, expected.tangent, atol=1e-11)


def test_unmatched_faces_give_nearly_the_stiffness_of_matched_ones():
    found = []
    for squeeze in (0.0, 0.25):
        mesh = rectangle(24, 24, size=(1.0, 1.0), cell=dolfinx.mesh.CellType.quadrilateral)
        x, tags = mesh.geometry.x, np.empty(24 * 24, dtype=np.int32)
        x[:, 1] += squeeze * x[:, 0] * x[:, 1] * (1.0 - x[:, 1])  # nodes of the right face slide along it
        cells = np.arange(24 * 24, dtype=np.int32)
        centre = dolfinx.mesh.compute_midpoints(mesh, 2, cells)[:, :2]
        tags[:] = np.where(np.linalg.norm(centre - 0.5, axis=1) < 0.3, 2, 1)
        body = TaggedMesh(mesh, dolfinx.mesh.meshtags(mesh, 2, cells, tags))
        laws = {1: PLANE, 2: PlaneStrain(LinearElastic(10.0, 0.3))}
        engine = GeneralEngine(VolumeElement(body, laws, Periodic()))
        found.append(engine.solve(np.zeros((1, 3)), engine.initial_state(1), 1.0, tangent=True).tangent[0])
    np.testing.assert_allclose(found[1], found[0], atol=0.02 * found[0].max())


def test_faces_with_different_solid_are_refused():
    with pytest.raises(MeshError, match="cannot be matched"):
        VolumeElement(unmatched_square(void=True), PLANE, Periodic())


def test_faces_with_as_much_solid_in_other_places_are_refused():
    image = (np.random.default_rng(9).random((6, 6, 6)) < 0.5).astype(int)
    image[0] = 1
    with pytest.raises(MeshError, match="across z cannot be matched"):
        VolumeElement(Image(image, 1.0).mesh(6, voids=[0]), SOLID, Mixed("linear", "linear", "periodic"))


def notched(n):
    """The unit square of n × n voxels with half of its right face notched away."""
    image = np.ones((n, n), dtype=int)
    image[3 * n // 4 :, n // 4 : 3 * n // 4] = 0
    return Image(image, 1.0).mesh(n, voids=[0])


@pytest.mark.parametrize("constraint", [UniformTraction(), Mixed("traction", "periodic")])
def test_a_uniform_traction_without_equilibrium_is_refused(constraint):
    with pytest.raises(MeshError, match=r"across x cannot carry a uniform traction: .* measures 1 and 0\.5"):
        VolumeElement(notched(8), PLANE, constraint)


def test_supports_elsewhere_carry_what_a_uniform_traction_on_different_faces_leaves():
    """Nothing is held in a point there, so that the stiffness settles with finer meshes."""
    found = []
    for n in (8, 16, 32):
        engine = GeneralEngine(VolumeElement(notched(n), PLANE, Mixed("traction", "linear")))
        answer = engine.solve(np.zeros((1, 3)), engine.initial_state(1), 1.0, tangent=True)
        found.append(answer.tangent[0, 0, 0])
    steps = -np.diff(found)
    assert 0.0 < steps[1] < 0.6 * steps[0]  # with a point force every step is as large as the last


def test_mixed_names_what_it_knows():
    with pytest.raises(InputError, match="'periodic', 'linear' or 'traction'"):
        Mixed("periodic", "free")
    with pytest.raises(InputError, match="has 3 conditions, but the mesh has dimension 2"):
        VolumeElement(rectangle(), PLANE, Mixed("periodic", "periodic", "linear"))
