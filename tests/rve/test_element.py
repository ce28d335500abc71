"""What a volume element refuses, each with a sentence, and the order of its state."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.errors import InputError, MeshError, SetupError
from pointlaw.materials import J2, Axisymmetric, LinearElastic, Material, PlaneStrain, Response
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.constraint import LinearDisplacement, Periodic, UniformTraction
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.material import RVEMaterial
from pointlaw.rve.microstructure import Image, lattice_inclusions
from pointlaw.rve.voxels import voxel_mesh
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem
SOFT, STIFF = PlaneStrain(LinearElastic(1.0, 0.3)), PlaneStrain(LinearElastic(10.0, 0.2))
CHECKS = np.kron([[1, 2], [2, 1]], np.ones((2, 2), dtype=int))


class Nothing(Material):
    """A law without stiffness."""

    kinematics = PLANE_STRAIN

    def update(self, strain, state, dt, *, tangent=True):
        return Response(0.0 * strain, np.zeros((len(strain), 3, 3)) if tangent else None, state.copy())


def test_a_phase_without_a_law_is_named():
    with pytest.raises(SetupError, match=r"8 cells .* have no law .* tags are \[1, 2\], laws are given for \[1\]"):
        VolumeElement(Image(CHECKS, 1.0).mesh(4), {1: SOFT}, Periodic())


def test_laws_of_different_kinematics_are_refused():
    with pytest.raises(SetupError, match="need the same kinematics"):
        VolumeElement(Image(CHECKS, 1.0).mesh(4), {1: SOFT, 2: LinearElastic(1.0, 0.3)}, Periodic())


def test_kinematics_that_make_no_cell_are_refused():
    with pytest.raises(SetupError, match="make no volume element"):
        VolumeElement(Image(CHECKS, 1.0).mesh(4), Axisymmetric(LinearElastic(1.0, 0.3)), Periodic())


def test_an_island_in_a_void_is_found():
    image = np.ones((7, 7), dtype=int)
    image[2:5, 2:5], image[3, 3] = 0, 1
    with pytest.raises(SetupError, match=r"1 part\(s\) of the solid hang loose .* around x = \[0\.5, 0\.5\]"):
        VolumeElement(voxel_mesh(image, (1.0, 1.0), voids=[0]), SOFT, Periodic())


def test_parts_that_are_held_by_the_boundary_may_be_apart():
    image = np.ones((6, 6), dtype=int)
    image[2:4] = 0
    mesh = voxel_mesh(image, (1.0, 1.0), voids=[0])
    assert VolumeElement(mesh, SOFT, LinearDisplacement()).free > 0


def frame(*corners):
    """A core in a frame, which it touches in these corners."""
    image = np.ones((6, 6), dtype=int)
    image[1:5, 1:5] = 0
    image[2:4, 2:4] = 1
    for corner in corners:
        image[corner] = 1
    return voxel_mesh(image, (1.0, 1.0), voids=[0])


@pytest.mark.parametrize("engine", ["general", "batched", "auto"])
@pytest.mark.parametrize("E", [1.0, 3.0, 1000.0, 210e3])
def test_a_hinge_is_found_before_anything_is_loaded_whatever_the_unit_of_stress_and_the_engine(engine, E):
    for law in (LinearElastic(E, 0.3), J2(E, 0.3, 0.002 * E, H=0.02 * E)):
        with pytest.raises(SetupError, match=r"1 part\(s\) of the solid hang loose or on hinges .* \[0\.5, 0\.5\]"):
            RVEMaterial(frame((1, 1)), PlaneStrain(law), engine=engine)


@pytest.mark.parametrize("constraint", [Periodic(), LinearDisplacement(), UniformTraction()])
def test_two_hinges_hold_a_part(constraint):
    engine = GeneralEngine(VolumeElement(frame((1, 1), (4, 4)), SOFT, constraint))
    assert np.linalg.eigvalsh(engine.element.P.T @ dense(engine) @ engine.element.P)[0] > 1e-4


def dense(engine):
    """Return the stiffness of a virgin volume element, ``[n·d, n·d]``."""
    engine.stiffness.assemble()
    return engine.stiffness.K.convert("dense").getDenseArray()


@pytest.mark.parametrize("degree", [1, 2])
def test_squares_that_touch_in_their_corners_turn_against_each_other(degree):
    """Rotating squares (Grima & Evans 2000, doi 10.1023/A:1006781224002); a boundary that is held stops them."""
    squares = np.kron(np.indices((2, 2)).sum(axis=0) % 2, np.ones((2, 2), dtype=int))
    checks = voxel_mesh(np.roll(squares, 1, axis=(0, 1)), (1.0, 1.0), voids=[0])  # the faces cut through squares
    with pytest.raises(SetupError, match=r"part\(s\) of the solid hang loose or on hinges"):
        VolumeElement(checks, SOFT, Periodic(), degree=degree)
    engine = GeneralEngine(VolumeElement(checks, SOFT, LinearDisplacement(), degree=degree))
    assert np.linalg.eigvalsh(engine.element.P.T @ dense(engine) @ engine.element.P)[0] > 1e-3


@pytest.mark.parametrize(
    ("bridge", "loose"), [([(1, 2, 2)], 0), ([(1, 1, 2)], 1), ([(1, 1, 1)], 1), ([(1, 1, 2), (4, 4, 2)], 0)]
)
def test_edges_and_corners_are_hinges_in_3d(bridge, loose):
    image = np.ones((6, 6, 6), dtype=int)
    image[1:5, 1:5, 1:5] = 0
    image[2:4, 2:4, 2:4] = 1
    for place in bridge:
        image[place] = 1
    mesh = voxel_mesh(image, (1.0, 1.0, 1.0), voids=[0])
    if loose:
        with pytest.raises(SetupError, match=r"1 part\(s\) of the solid hang loose or on hinges"):
            VolumeElement(mesh, SOFT.law, Periodic())
    else:
        assert GeneralEngine(VolumeElement(mesh, SOFT.law, Periodic())).element.free > 0


def test_parts_that_only_the_periodic_images_join_may_be_apart():
    image = np.ones((6, 6), dtype=int)
    image[2:4] = 0  # the halves hang together across the faces x = 0 and 1 only
    assert VolumeElement(voxel_mesh(image, (1.0, 1.0), voids=[0]), SOFT, Periodic()).free > 0


@pytest.mark.parametrize("constraint", [Periodic, LinearDisplacement, UniformTraction])
def test_a_cell_whose_void_fills_a_face_is_refused_and_not_taken_for_a_smaller_one(constraint):
    image = np.ones((8, 8), dtype=int)
    image[:2] = 0
    with pytest.raises(MeshError, match="no facets on its lower face across x: the solid of a cell must reach"):
        VolumeElement(Image(image, 1.0).mesh(8, voids=[0]), SOFT, constraint())


def porous_layers(shift):
    """Two of six layers are void; the cell begins ``shift`` layers later."""
    image = np.ones((6, 6), dtype=int)
    image[1:3] = 0
    return VolumeElement(Image(image, (2.0, 1.0)).shifted(shift).mesh(6, voids=[0]), SOFT, Periodic())


@pytest.mark.parametrize("shift", [0, 4, 5])
def test_a_porous_medium_is_the_same_wherever_the_cell_begins(shift):
    engine = GeneralEngine(porous_layers(shift))
    stiffness = engine.solve(np.zeros((1, 3)), engine.initial_state(1), 1.0, tangent=True).tangent[0]
    along = 4 / 6 * 1.0 / (1.0 - 0.3**2)  # plates in plane strain that pull in freely across
    np.testing.assert_allclose(stiffness, np.diag([0.0, along, 0.0]), atol=1e-10)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_porous_medium_whose_cell_begins_or_ends_in_a_void_is_refused(shift):
    with pytest.raises(MeshError, match="the solid of a cell must reach the faces of its box"):
        porous_layers(shift)


def test_a_conforming_mesh_knows_its_box():
    pytest.importorskip("gmsh")
    mesh = lattice_inclusions("square", 0.3, cells=(2, 1), length=0.5).conforming_mesh(0.1)
    np.testing.assert_allclose(mesh.box, [[0.0, 0.0], [1.0, 0.5]])


def test_a_mesh_that_left_its_box_is_refused():
    mesh = Image(CHECKS, 1.0).mesh(4)
    mesh.mesh.geometry.x[:] *= 2.0
    with pytest.raises(MeshError, match=r"reaches from \[0.0, 0.0\] to \[2.0, 2.0\], beyond its box"):
        VolumeElement(mesh, {1: SOFT, 2: STIFF}, Periodic())


@pytest.mark.parametrize("constraint", [Periodic(), UniformTraction()])
@pytest.mark.parametrize("E", [1.0, 3.0, 1000.0, 210e3])
def test_zero_pivots_are_seen_whatever_the_unit_of_stress(monkeypatch, constraint, E):
    monkeypatch.setattr(VolumeElement, "_require_rigid", lambda self: None)  # a hinge, as if nobody had looked for it
    with pytest.raises(SetupError, match=r"can move without stress .* \(1 zero pivots\)"):
        GeneralEngine(VolumeElement(frame((1, 1)), PlaneStrain(LinearElastic(E, 0.3)), constraint))


@pytest.mark.parametrize("contrast", [1e-10, 1e10])
def test_a_phase_may_be_as_good_as_void_or_rigid(contrast):
    other = PlaneStrain(LinearElastic(contrast, 0.3))
    GeneralEngine(VolumeElement(lattice_inclusions("square", 0.3).mesh(20), {1: SOFT, 2: other}, Periodic()))


@pytest.mark.parametrize("engine", ["general", "auto"])
@pytest.mark.parametrize("E", [1.0, 3.0, 1000.0, 210e3])
def test_cells_with_too_few_points_are_found_before_anything_is_loaded(engine, E):
    law = PlaneStrain(LinearElastic(E, 0.3))
    with pytest.raises(SetupError, match=r"zero pivots\): .* quadrature_degree"):  # hourglasses
        RVEMaterial(Image(CHECKS, 1.0).mesh(4), law, engine=engine, quadrature_degree=1)


def test_the_batched_engine_leaves_cells_with_too_few_points_to_the_general_one():
    with pytest.raises(InputError, match="its cells have fewer quadrature points than is usual"):
        RVEMaterial(Image(CHECKS, 1.0).mesh(4), SOFT, engine="batched", quadrature_degree=1)


class Cards(Material):
    """A law of layers across x that slide and open freely in one direction."""

    kinematics = PLANE_STRAIN

    def __init__(self, E):
        free = np.array([0.3, 0.0, 0.7 / np.sqrt(2.0)])  # strain of a displacement along (0.3, 0.7) that varies with x
        self.C = E * (np.eye(3) - np.outer(free, free) / (free @ free))

    def update(self, strain, state, dt, *, tangent=True):
        C = self.C
        return Response(strain @ C, np.tile(C, (len(strain), 1, 1)) if tangent else None, state.copy())


@pytest.mark.parametrize("E", [1.0, 3.0, 7.0, 1000.0, 210e3])
def test_a_law_without_resistance_to_one_strain_is_found_whatever_the_unit_of_stress(E):
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0, 0], [1, 1]], [5, 5], dolfinx.mesh.CellType.quadrilateral)
    with pytest.raises(SetupError, match="can move without stress"):
        GeneralEngine(VolumeElement(mesh, Cards(E), Periodic()))


def test_a_phase_without_stiffness_is_named():
    element = VolumeElement(Image(CHECKS, 1.0).mesh(4), {1: SOFT, 2: Nothing()}, Periodic())
    with pytest.raises(SetupError, match="Phase '2' has no stiffness"):
        GeneralEngine(element)


def test_a_contrast_of_a_million_is_solved():
    hard = PlaneStrain(LinearElastic(1e6, 0.2))
    image = np.ones((8, 8), dtype=int)
    image[2:6, 2:6] = 2
    engine = GeneralEngine(VolumeElement(Image(image, 1.0).mesh(8), {1: SOFT, 2: hard}, Periodic()))
    answer = engine.solve(np.array([[1e-3, 0.0, 1e-3]]), engine.initial_state(1), 1.0, tangent=True)
    assert not answer.reports[0].reason
    assert answer.reports[0].hill_mandel < 1e-8
    assert np.linalg.eigvalsh(answer.tangent[0]).min() > 0.5


def test_a_mesh_that_is_spread_over_ranks_is_refused(monkeypatch):
    mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    monkeypatch.setattr(type(mesh), "comm", type("Two", (), {"size": 2, "rank": 0})(), raising=False)
    with pytest.raises(SetupError, match=r"comm = MPI.COMM_SELF"):
        VolumeElement(mesh, SOFT, Periodic())


def test_the_state_lists_cells_as_the_image_does():
    image = np.array([[1, 2, 1], [2, 1, 1], [1, 1, 2]])
    element = VolumeElement(voxel_mesh(image, (3.0, 3.0)), {1: SOFT, 2: STIFF}, Periodic())
    for tag in (1, 2):
        cells = element.cells[tag]
        centres = dolfinx.mesh.compute_midpoints(element.body.mesh, 2, cells)[:, :2]
        np.testing.assert_allclose(centres, np.argwhere(image == tag) + 0.5)
    sizes = element.state_layout.sizes
    assert list(sizes) == ["fluctuation", "phase.1", "phase.2", "strain"]
    assert sizes["phase.2"] == 3 * 4 * STIFF.state_layout.size
