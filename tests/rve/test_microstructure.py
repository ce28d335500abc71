"""Each kind of microstructure has the fractions, the periodicity and the sentences it promises."""

import numpy as np
import pytest

from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.materials import LinearElastic, PlaneStrain
from pointlaw.rve import Periodic, VolumeElement
from pointlaw.rve.microstructure import (
    Fibres,
    Image,
    Inclusions,
    Laminate,
    MinimalSurface,
    Polycrystal,
    Truss,
    lattice_inclusions,
    random_inclusions,
    read_image,
)

pytestmark = pytest.mark.fem
SOFT = PlaneStrain(LinearElastic(1.0, 0.3))
KINDS = {
    "laminate": (Laminate([0.25, 0.75]), 16, {"layer_1": 0.25}),
    "discs": (random_inclusions(0.4, 15, spread=0.3, seed=0), 150, {"inclusion": 0.4}),
    "ellipses": (random_inclusions(0.3, 12, aspect=2.5, seed=0), 150, {"inclusion": 0.3}),
    "spheres": (random_inclusions(0.2, 6, dim=3, seed=0), 48, {"inclusion": 0.2}),
    "hexagonal": (lattice_inclusions("hexagonal", 0.6), 120, {"inclusion": 0.6}),
    "face_centred": (lattice_inclusions("face_centred", 0.5), 48, {"inclusion": 0.5}),
    "fibres": (Fibres(lattice_inclusions("square", 0.3), 0.1), 100, {"fibre": 0.3}),
    "grains": (Polycrystal(8, dim=2, seed=0), 30, {}),
    "gyroid": (MinimalSurface("gyroid", 0.3), 32, {"solid": 0.3}),
    "diamond wall": (MinimalSurface("diamond", 0.25, wall=True), 32, {"solid": 0.25}),
    "octet": (Truss("octet", fraction=0.2), 32, {"strut": 0.2}),
    "crossed": (Truss("crossed", fraction=0.3), 200, {"strut": 0.3}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_has_the_fractions_that_were_asked_for(kind):
    structure, resolution, fractions = KINDS[kind]
    image = structure.image(resolution)
    for phase, fraction in fractions.items():
        assert image.fraction(phase) == pytest.approx(fraction, abs=0.02)
    assert sum(image.fraction(phase) for phase in image.names) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "laminate"])
def test_phases_go_on_across_the_faces(kind):
    structure, _, _ = KINDS[kind]
    rng = np.random.default_rng(0)
    for axis in range(structure.dim):
        x = rng.random((400, structure.dim)) * structure.size
        x[:, axis] = 1e-9 * structure.size[axis]
        y = x.copy()
        y[:, axis] = (1.0 - 1e-9) * structure.size[axis]
        assert np.mean(structure.tags_at(x) != structure.tags_at(y)) < 0.01


def test_the_same_seed_gives_the_same_arrangement():
    one, two, other = (random_inclusions(0.3, 10, spread=0.2, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(one.centres, two.centres)
    assert not np.array_equal(one.centres, other.centres)
    assert one.fraction == pytest.approx(0.3, abs=1e-12)


def test_inclusions_keep_their_distance():
    packed = random_inclusions(0.3, 12, gap=0.03, seed=1)
    away = packed.centres[:, None] - packed.centres
    away -= np.round(away)
    distance = np.linalg.norm(away, axis=2) - packed.radii[:, :1] - packed.radii[:, 0]
    assert distance[~np.eye(12, dtype=bool)].min() >= 0.03 - 1e-12


def test_overlapping_inclusions_are_refused_across_the_faces_too():
    with pytest.raises(InputError, match=r"Inclusions 0 at \[0.05, 0.5\] and 1 at \[0.95, 0.5\] overlap"):
        Inclusions([[0.05, 0.5], [0.95, 0.5]], 0.1)
    with pytest.raises(InputError, match="overlap"):
        Inclusions([[0.4, 0.5], [0.6, 0.5]], [[0.15, 0.05], [0.15, 0.05]])
    Inclusions([[0.4, 0.5], [0.6, 0.5]], [[0.15, 0.05], [0.15, 0.05]], axes=[90.0, 90.0])


@pytest.mark.parametrize(
    "pack",
    [
        lambda: random_inclusions(0.75, 30, seed=0, attempts=50),
        lambda: random_inclusions(0.9, 1, seed=0),
        lambda: lattice_inclusions("square", 0.79),
    ],
)
def test_a_fraction_that_cannot_be_packed_is_refused(pack):
    with pytest.raises(InputError, match="cannot be packed"):
        pack()


def test_grains_get_turned_laws():
    grains = Polycrystal(5, seed=2)
    phases = grains.phases(LinearElastic(1.0, 0.3))
    assert list(phases) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(np.linalg.det(grains.orientations), 1.0)


def test_an_image_is_read_from_every_format(tmp_path):
    voxels = np.arange(24).reshape(4, 3, 2) % 3
    np.save(tmp_path / "a.npy", voxels)
    assert np.array_equal(read_image(tmp_path / "a.npy").voxels, voxels)
    pillow = pytest.importorskip("PIL.Image")
    pages = [pillow.fromarray(voxels[:, ::-1, k].T.astype(np.uint8)) for k in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_image(tmp_path / "a.tif", 1.0).voxels, voxels)


def test_an_image_of_vtk_brings_its_spacing(tmp_path):
    pyvista = pytest.importorskip("pyvista")
    voxels = np.arange(24).reshape(4, 3, 2) % 3
    grid = pyvista.ImageData(dimensions=(5, 4, 3), spacing=(0.5, 0.5, 1.0))
    grid.cell_data["phase"] = voxels.ravel(order="F")
    grid.save(tmp_path / "a.vti")
    image = read_image(tmp_path / "a.vti")
    assert np.array_equal(image.voxels, voxels)
    np.testing.assert_allclose(image.size, [2.0, 1.5, 2.0])


def test_tags_that_no_phase_is_named_for_are_listed(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, 2], [7, 1]]))
    with pytest.raises(InputError, match=r"a.npy: The voxel image has the tags \[7\]"):
        read_image(tmp_path / "a.npy", names={"matrix": 1, "fibre": 2})
    with pytest.raises(InputError, match="fractions or NaN"):
        Image([[0.5, 1.0]], 1.0)
    with pytest.raises(InputError, match="There is no voxel file"):
        read_image(tmp_path / "b.npy")
    with pytest.raises(InputError, match="is no voxel image"):
        read_image(__file__)


def test_a_missing_reader_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.vti").write_text("")
    monkeypatch.setitem(__import__("sys").modules, "pyvista", None)
    with pytest.raises(EnvironmentProblem, match="needs PyVista"):
        read_image(tmp_path / "a.vti")


def test_a_conforming_mesh_is_periodic_and_holds_the_fraction():
    pytest.importorskip("gmsh")
    mesh = random_inclusions(0.3, 4, gap=0.03, seed=1).conforming_mesh(0.05)
    element = VolumeElement(mesh, {"matrix": SOFT, "inclusion": SOFT}, Periodic())
    for axis in (0, 1):
        partners = element.nodes.across(axis)[1]
        assert (np.diff(partners.indptr) == 1).all()  # every node has one
    corners = mesh.mesh.geometry.x[mesh.mesh.geometry.dofmaps[0][element.cells["inclusion"]]]
    edges = corners[:, 1:, :2] - corners[:, :1, :2]
    assert 0.5 * np.abs(np.linalg.det(edges)).sum() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(
    "structure",
    [
        lattice_inclusions("body_centred", 0.2),
        Fibres(lattice_inclusions("hexagonal", 0.4), 0.3),
        Fibres(lattice_inclusions("hexagonal", 0.4, length=0.5), 0.15),
    ],
)
def test_conforming_meshes_in_3d_are_periodic(structure):
    pytest.importorskip("gmsh")
    law = LinearElastic(1.0, 0.3)
    element = VolumeElement(structure.conforming_mesh(0.3 * structure.size[0]), {1: law, 2: law}, Periodic())
    for axis in range(3):
        assert (np.diff(element.nodes.across(axis)[1].indptr) == 1).all()


def test_voids_are_left_out_of_both_kinds_of_mesh():
    pytest.importorskip("gmsh")
    holes = lattice_inclusions("square", 0.3)
    for mesh in (holes.mesh(10, voids=["inclusion"]), holes.conforming_mesh(0.1, voids=True)):
        element = VolumeElement(mesh, {"matrix": SOFT}, Periodic())
        assert element.volume == pytest.approx(1.0)
        assert not np.any(np.linalg.norm(element.x - 0.5, axis=1) < 0.25)


# The unit of length ---------------------------------------------------------------------------------------------------

SMALL = 1e-5  # ten micrometres, in metres


@pytest.mark.parametrize("kind", ["square", "octet"])
def test_a_truss_has_its_fraction_in_any_unit_of_length(kind):
    one, small = Truss(kind, fraction=0.2), Truss(kind, fraction=0.2, size=SMALL)
    assert small.radius / SMALL == pytest.approx(one.radius, rel=1e-12)


def test_a_truss_too_thin_to_be_measured_is_refused():
    with pytest.raises(InputError, match=r"fraction = 0\.003 is too small for a radius to be found; give the radius"):
        Truss("crossed", fraction=0.003)
    with pytest.raises(InputError, match=r"radius = 0\.0 must be positive"):
        Truss("crossed", radius=0.0)


def test_ellipses_are_packed_alike_in_any_unit_of_length():
    one, small = (random_inclusions(0.3, 8, aspect=3.0, gap=0.01 * s, size=s, seed=0) for s in (1.0, SMALL))
    np.testing.assert_allclose(small.centres, SMALL * one.centres, rtol=1e-12)
    assert not one.round
    assert not small.round


def test_ellipses_that_overlap_are_named_in_any_unit_of_length():
    with pytest.raises(InputError, match=r"Inclusions 0 at \[4e-06, 5e-06\] and 1 at \[6e-06, 5e-06\] overlap"):
        Inclusions([[4e-6, 5e-6], [6e-6, 5e-6]], [[1.5e-6, 5e-7]] * 2, size=SMALL)
    Inclusions([[4e-6, 5e-6], [6e-6, 5e-6]], [[1.5e-6, 5e-7]] * 2, axes=[90.0, 90.0], size=SMALL)


@pytest.mark.parametrize("unit", [SMALL, 1e6])
def test_a_conforming_mesh_is_the_same_in_any_unit_of_length(unit):
    pytest.importorskip("gmsh")
    one, other = (
        random_inclusions(0.3, 4, aspect=2.0, gap=0.05 * s, size=s, seed=0).conforming_mesh(0.2 * s)
        for s in (1.0, unit)
    )
    x, y = one.mesh.geometry.x, other.mesh.geometry.x
    np.testing.assert_allclose(y, unit * x, atol=1e-9 * unit)
    np.testing.assert_allclose(other.box[1], [unit, unit])


def test_balls_are_meshed_in_a_small_unit_of_length():
    pytest.importorskip("gmsh")
    mesh = lattice_inclusions("body_centred", 0.2, length=SMALL).conforming_mesh(0.4 * SMALL)
    law = LinearElastic(1.0, 0.3)
    assert VolumeElement(mesh, {1: law, 2: law}, Periodic()).volume == pytest.approx(SMALL**3)


@pytest.mark.parametrize("resolution", [0, -5, 2.5, "4", None, (0, 1), (2, 2, 2), (4.0, 4.0)])
def test_a_resolution_that_is_no_number_of_voxels_is_refused(resolution):
    with pytest.raises(InputError, match="must be a whole number of at least 1, or 2 of them"):
        Laminate([0.5, 0.5]).mesh(resolution)
