"""Meshes from files: what is measured on the mesh must be what was drawn, in every format."""

from pointlaw.fem.mpi import MPI  # isort: skip

import math

import dolfinx
import numpy as np
import pytest
import ufl
from dolfinx import fem

from pointlaw.errors import MeshError, SetupError
from pointlaw.fem import Displacement, MechanicsProblem, read_mesh
from pointlaw.materials import LinearElastic, PlaneStrain

meshio = pytest.importorskip("meshio")
gmsh = pytest.importorskip("gmsh")
pytestmark = pytest.mark.fem

CELLS = ("triangle", "quadrilateral", "tetrahedron", "hexahedron")
KINDS = [(cell, degree) for cell in CELLS for degree in (1, 2)]
LENGTH, HEIGHT, RADIUS, THICKNESS = 2.0, 1.0, 0.25, 0.4
AREA = LENGTH * HEIGHT - math.pi * RADIUS**2


def draw(path, cell, degree, *, size=0.15, both=False):
    """Write a plate (part of a thick one in 3D) with a round hole; names "steel", "hole" and "left"."""
    dim = 2 if cell in CELLS[:2] else 3
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        occ = gmsh.model.occ
        plate = occ.addRectangle(0, 0, 0, LENGTH, HEIGHT)
        occ.cut([(2, plate)], [(2, occ.addDisk(1.0, 0.5, 0, RADIUS, RADIUS))])
        if dim == 3:
            occ.extrude([(2, plate)], 0, 0, THICKNESS, numElements=[2], recombine=cell == "hexahedron")
        occ.synchronize()
        gmsh.model.addPhysicalGroup(dim, [t for _, t in gmsh.model.getEntities(dim)], 4, "steel")
        boxes = {t: gmsh.model.getBoundingBox(dim - 1, t) for _, t in gmsh.model.getEntities(dim - 1)}
        left = [t for t, box in boxes.items() if box[3] < 0.01]
        hole = [t for t, box in boxes.items() if box[0] > 0.7 and box[3] < 1.3]
        gmsh.model.addPhysicalGroup(dim - 1, hole, 21, "hole")
        gmsh.model.addPhysicalGroup(dim - 1, left, 22, "left")
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        if cell in ("quadrilateral", "hexahedron"):
            gmsh.option.setNumber("Mesh.RecombinationAlgorithm", 1 if both else 2)
            gmsh.option.setNumber("Mesh.RecombineAll", 1)
        gmsh.model.mesh.generate(dim)
        gmsh.model.mesh.setOrder(degree)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return a function that gives the .msh file of a cell and degree, drawn once."""
    folder, made = tmp_path_factory.mktemp("meshes"), {}

    def file(cell, degree):
        if (cell, degree) not in made:
            made[cell, degree] = draw(folder / f"{cell}{degree}.msh", cell, degree)
        return made[cell, degree]

    return file


def integral(form):
    return fem.assemble_scalar(fem.form(form))


def measures(body, hole, left):
    """Return volume, ∮ x·n / dim (the volume by the divergence theorem), and the areas of hole and left side."""
    mesh, dim = body.mesh, body.dim
    ds = ufl.Measure("ds", domain=mesh, subdomain_data=[(1, body.boundary(hole)), (2, body.boundary(left))])
    around = ufl.dot(ufl.SpatialCoordinate(mesh), ufl.FacetNormal(mesh)) / dim
    share = [fem.Constant(mesh, 0.0) for _ in range(4)]  # one form for all four, because compiling takes the time
    form = fem.form(share[0] * ufl.dx(mesh) + share[1] * around * ufl.ds(mesh) + share[2] * ds(1) + share[3] * ds(2))

    def alone(k):
        for i, constant in enumerate(share):
            constant.value = float(i == k)
        return fem.assemble_scalar(form)

    return [alone(k) for k in range(4)]


def check_measures(body, degree, hole="hole", left="left"):
    """The order of nodes is right: inside and boundary agree to rounding, and both with the drawing."""
    thick = THICKNESS if body.dim == 3 else 1.0
    volume, by_boundary, around_hole, left_side = measures(body, hole, left)
    assert by_boundary == pytest.approx(volume, rel=1e-12)
    assert left_side == pytest.approx(HEIGHT * thick, rel=1e-12)
    tolerance = 2e-2 if degree == 1 else 2e-4
    assert volume == pytest.approx(AREA * thick, rel=tolerance)
    assert around_hole == pytest.approx(2 * math.pi * RADIUS * thick, rel=4 * tolerance)
    body.check()


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_a_gmsh_file_keeps_names_volume_and_boundary(drawn, cell, degree):
    body = read_mesh(drawn(cell, degree))
    dim = body.dim
    assert body.names == {"steel": (dim, 4), "hole": (dim - 1, 21), "left": (dim - 1, 22)}
    assert body.mesh.topology.cell_name() == cell
    assert body.mesh.geometry.dim == dim
    assert len(body.cells("steel")) == body.mesh.topology.index_map(dim).size_local
    check_measures(body, degree)


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_a_vtu_file_keeps_tags_volume_and_boundary(drawn, tmp_path, cell, degree):
    path = tmp_path / "plate.vtu"
    data = meshio.read(drawn(cell, degree))
    tags = {"part": [np.asarray(t, dtype=np.int32) for t in data.cell_data["gmsh:physical"]]}
    meshio.Mesh(data.points, data.cells, cell_data=tags).write(path)
    check_measures(read_mesh(path), degree, hole=21, left=22)


def test_a_gmsh_file_reads_alike_without_gmsh(drawn, monkeypatch):
    import sys

    with_gmsh = read_mesh(drawn("quadrilateral", 1))
    monkeypatch.setitem(sys.modules, "gmsh", None)
    without = read_mesh(drawn("quadrilateral", 1))
    assert without.names == with_gmsh.names
    check_measures(without, 1)


def test_an_abaqus_file_keeps_its_sets_as_names(tmp_path):
    path = tmp_path / "two.inp"
    path.write_text(
        "*HEADING\ntwo squares\n*NODE\n1, 0, 0, 0\n2, 1, 0, 0\n3, 2, 0, 0\n4, 0, 1, 0\n5, 1, 1, 0\n6, 2, 1, 0\n"
        "*ELEMENT, TYPE=CPS4, ELSET=steel\n1, 1, 2, 5, 4\n*ELEMENT, TYPE=CPS4, ELSET=rubber\n2, 2, 3, 6, 5\n"
        "*ELEMENT, TYPE=T2D2, ELSET=clamped\n3, 1, 4\n"
    )
    body = read_mesh(path)
    steel, rubber = body.cells("steel"), body.cells("rubber")
    middle = dolfinx.mesh.compute_midpoints(body.mesh, 2, np.concatenate([steel, rubber]))
    np.testing.assert_allclose(middle[:, 0], [0.5, 1.5])
    facet = dolfinx.mesh.compute_midpoints(body.mesh, 1, body.facets("clamped"))
    np.testing.assert_allclose(facet, [[0, 0.5, 0]])
    assert integral(fem.Constant(body.mesh, 1.0) * ufl.dx(body.mesh)) == pytest.approx(2.0)


ROW = (
    "*NODE\n1, 0, 0, 0\n2, 1, 0, 0\n3, 2, 0, 0\n4, 3, 0, 0\n5, 0, 1, 0\n6, 1, 1, 0\n7, 2, 1, 0\n8, 3, 1, 0\n"
    "*ELEMENT, TYPE={}\n1, 1, 2, 6, 5\n2, 2, 3, 7, 6\n3, 3, 4, 8, 7\n"
)


def places(body, name):
    """Return x of the middles of the cells of a part, in order."""
    return np.sort(dolfinx.mesh.compute_midpoints(body.mesh, body.dim, body.cells(name))[:, 0]).tolist()


def test_sets_of_an_abaqus_file_that_overlap_keep_all_their_cells(tmp_path):
    path = tmp_path / "row.inp"
    sets = (
        "*ELSET, ELSET=STEEL\n1, 2\n*ELSET, ELSET=RUBBER\n3\n*ELSET, ELSET=OUTPUT\n2, 3\n*ELSET, ELSET=ALL\n1, 2, 3\n"
    )
    path.write_text(ROW.format("CPS4") + sets)
    body = read_mesh(path)
    found = {name: places(body, name) for name in body.names}
    assert found == {"STEEL": [0.5, 1.5], "RUBBER": [2.5], "OUTPUT": [1.5, 2.5], "ALL": [0.5, 1.5, 2.5]}
    law = PlaneStrain(LinearElastic(1.0, 0.3))
    clamp = [Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0)]
    problem = MechanicsProblem(body, {"STEEL": law, "RUBBER": law}, supports=clamp)
    assert [len(region.cells) for region in problem.regions.values()] == [2, 1]
    with pytest.raises(SetupError, match=r"1 cells of .* have no material and 1 have two"):
        MechanicsProblem(body, {"OUTPUT": law, "RUBBER": law}, supports=clamp)


@pytest.mark.parametrize("kind", ["CPE4", "CPE4RH", "CAX4", "CPS4I", "cpe4r"])
def test_the_formulation_of_an_abaqus_element_makes_no_difference(tmp_path, kind):
    path = tmp_path / "row.inp"
    path.write_text(ROW.format(kind) + "*ELEMENT OUTPUT\nS\n")
    assert integral(fem.Constant(read_mesh(path).mesh, 1.0) * ufl.dx) == pytest.approx(3.0)


def test_an_abaqus_element_that_is_not_read_is_named(tmp_path):
    path = tmp_path / "row.inp"
    path.write_text(ROW.format("COH2D4"))
    with pytest.raises(MeshError, match=r"row\.inp: Element type not available: COH2D4"):
        read_mesh(path)


def two_squares(path, groups, *, everything=0):
    """Write two squares side by side; ``groups[name] = (dim, numbers)`` of curves or surfaces from left to right."""
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        for x in (0.0, 1.0):
            gmsh.model.occ.addRectangle(x, 0, 0, 1, 1)
        gmsh.model.occ.fragment([(2, 1)], [(2, 2)])
        gmsh.model.occ.synchronize()
        order = {
            dim: sorted(gmsh.model.getEntities(dim), key=lambda e: gmsh.model.occ.getCenterOfMass(*e)) for dim in (1, 2)
        }
        for number, (name, (dim, members)) in enumerate(groups.items(), start=3):
            gmsh.model.addPhysicalGroup(dim, [order[dim][k][1] for k in members], number, name)
        gmsh.option.setNumber("Mesh.MeshSizeMax", 2.0)
        gmsh.option.setNumber("Mesh.SaveAll", everything)
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()
    return path


def test_groups_of_a_gmsh_file_that_overlap_keep_all_their_parts(tmp_path):
    # The curves from left to right: left, the bottoms and tops, the one between the squares, right.
    groups = {"steel": (2, [0]), "all": (2, [0, 1]), "corner": (1, [0, 1]), "bottom": (1, [1, 4]), "left": (1, [0])}
    body = read_mesh(two_squares(tmp_path / "two.msh", groups))
    areas = {name: len(body.cells(name)) / len(body.cells("all")) for name in ("steel", "all")}
    assert areas == {"steel": 0.5, "all": 1.0}
    lengths = {}
    for name in ("corner", "bottom", "left"):
        ds = ufl.Measure("ds", domain=body.mesh, subdomain_data=[(1, body.boundary(name))])
        lengths[name] = integral(fem.Constant(body.mesh, 1.0) * ds(1))
    assert lengths == pytest.approx({"corner": 2.0, "bottom": 2.0, "left": 1.0})
    assert np.array_equal(body.facets(5), body.facets("corner"))  # its number in the file means all of it, too


def test_a_part_of_a_gmsh_file_in_no_group_is_refused(tmp_path):
    with pytest.raises(MeshError, match="1 of 2 parts of the body in no physical group"):
        read_mesh(two_squares(tmp_path / "two.msh", {"steel": (2, [0])}, everything=1))


def test_a_nastran_file_keeps_its_property_numbers(tmp_path):
    path = tmp_path / "two.bdf"
    nodes = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    grid = "".join(f"GRID,{i},,{x:.1f},{y:.1f},0.0\n" for i, (x, y) in enumerate(nodes, start=1))
    path.write_text(f"CEND\nBEGIN BULK\n{grid}CQUAD4,1,7,1,2,5,4\nCQUAD4,2,8,2,3,6,5\nCBAR,3,9,1,4\nENDDATA\n")
    body = read_mesh(path)
    middle = dolfinx.mesh.compute_midpoints(body.mesh, 2, np.concatenate([body.cells(7), body.cells(8)]))
    np.testing.assert_allclose(middle[:, 0], [0.5, 1.5])
    assert len(body.facets(9)) == 1


# XDMF ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["triangle", "hexahedron"])
def test_an_xdmf_file_of_dolfinx_keeps_mesh_and_tags(drawn, tmp_path, cell):
    from dolfinx.io.utils import XDMFFile

    first = read_mesh(drawn(cell, 1))
    path = tmp_path / "plate.xdmf"
    with XDMFFile(MPI.COMM_SELF, path, "w") as file:
        file.write_mesh(first.mesh)
        for name, tags in (("parts", first.cell_tags), ("sides", first.facet_tags)):
            tags.name = name
            first.mesh.topology.create_connectivity(tags.dim, first.dim)
            file.write_meshtags(tags, first.mesh.geometry)
    second = read_mesh(path)
    check_measures(second, 1, hole=21, left=22)
    assert len(second.cells(4)) == len(first.cells("steel"))
    assert len(second.facets(22)) == len(first.facets("left"))


def meshio_xdmf(path, **options):
    points = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1.0]])
    cells = [("quad", np.array([[0, 1, 4, 3], [1, 2, 5, 4]]))]
    meshio.Mesh(points, cells, cell_data={"part": [np.array([7, 8], dtype=np.int32)]}).write(path, **options)
    return path


def test_an_xdmf_file_of_meshio_keeps_mesh_and_cell_tags(tmp_path):
    body = read_mesh(meshio_xdmf(tmp_path / "two.xdmf", compression=None))
    middle = dolfinx.mesh.compute_midpoints(body.mesh, 2, np.concatenate([body.cells(7), body.cells(8)]))
    np.testing.assert_allclose(middle[:, 0], [0.5, 1.5])


def test_a_compressed_xdmf_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(MeshError, match="compressed; write it with meshio's compression=None"):
        read_mesh(meshio_xdmf(tmp_path / "two.xdmf"))


def test_an_xdmf_file_without_its_data_is_refused(tmp_path):
    path = meshio_xdmf(tmp_path / "two.xdmf", compression=None)
    path.with_suffix(".h5").unlink()
    with pytest.raises(MeshError, match=r"two\.xdmf cannot be read"):
        read_mesh(path)


def test_an_xdmf_file_that_is_not_xml_is_refused(tmp_path):
    path = tmp_path / "broken.xdmf"
    path.write_text(meshio_xdmf(tmp_path / "two.xdmf", compression=None).read_text()[:200])
    with pytest.raises(MeshError, match=r"broken\.xdmf cannot be read"):
        read_mesh(path)


def test_an_xdmf_file_whose_data_are_cut_off_is_refused(tmp_path):
    path = meshio_xdmf(tmp_path / "two.xdmf", compression=None)
    data = path.with_suffix(".h5")
    data.write_bytes(data.read_bytes()[:-200])
    with pytest.raises(MeshError, match=r"two\.xdmf cannot be read"):
        read_mesh(path)


# Files that no result may come from ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plate.msh", "plate.xdmf", "plate.vtu"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(MeshError, match=f"There is no mesh file .*{name}"):
        read_mesh(tmp_path / name)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_gmsh_file_is_refused(drawn, tmp_path, share):
    text = drawn("triangle", 1).read_text()
    path = tmp_path / "cut.msh"
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(MeshError, match=r"cut\.msh"):
        read_mesh(path)


def test_a_truncated_vtu_file_is_refused(drawn, tmp_path):
    whole, path = tmp_path / "whole.vtu", tmp_path / "cut.vtu"
    meshio.Mesh((data := meshio.read(drawn("triangle", 1))).points, data.cells).write(whole)
    path.write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(MeshError, match=r"meshio cannot read .*cut\.vtu"):
        read_mesh(path)


def test_an_unknown_format_is_refused(tmp_path):
    path = tmp_path / "plate.docx"
    path.write_text("a letter")
    with pytest.raises(MeshError, match=r"meshio cannot read .*plate\.docx"):
        read_mesh(path)


def test_an_empty_file_is_refused(tmp_path):
    for name in ("a.msh", "a.vtu", "a.xdmf", "a.inp"):
        (tmp_path / name).write_text("")
        with pytest.raises(MeshError, match=name):
            read_mesh(tmp_path / name)


@pytest.mark.parametrize("suffix", [".msh", ".vtu"])
def test_a_body_of_two_cell_types_is_refused(tmp_path, suffix):
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]], dtype=float)
    cells = [("quad", np.array([[0, 1, 2, 3]])), ("triangle", np.array([[1, 4, 2]]))]
    tags = [np.array([1], dtype=np.int32), np.array([1], dtype=np.int32)]
    path = tmp_path / f"mixed{suffix}"
    mesh = meshio.Mesh(points, cells, cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags})
    mesh.write(path, **({"file_format": "gmsh22"} if suffix == ".msh" else {}))
    with pytest.raises(MeshError, match="mixes the cell types"):
        read_mesh(path)


def test_cells_that_dolfinx_lacks_are_named(tmp_path):
    path = tmp_path / "wedge.vtu"
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], dtype=float)
    meshio.Mesh(points, [("wedge", np.arange(6)[None])]).write(path)
    with pytest.raises(MeshError, match="wedge"):
        read_mesh(path)


def test_a_gmsh_file_without_a_named_body_says_what_to_do(tmp_path):
    path = tmp_path / "nameless.msh"
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
        gmsh.model.occ.synchronize()
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()
    with pytest.raises(MeshError, match="no physical group of dimension 2"):
        read_mesh(path)


@pytest.mark.parametrize("suffix", [".msh", ".vtu"])
def test_a_plane_mesh_that_is_tilted_in_space_is_refused(tmp_path, suffix):
    points = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=float)
    tags = [np.array([1], dtype=np.int32)]
    path = tmp_path / f"roof{suffix}"
    mesh = meshio.Mesh(points, [("quad", [[0, 1, 2, 3]])], cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags})
    mesh.write(path, **({"file_format": "gmsh22"} if suffix == ".msh" else {}))
    with pytest.raises(MeshError, match="plane z = const"):
        read_mesh(path)


def test_the_committed_plate_with_a_hole_is_what_its_script_says():
    from pathlib import Path

    body = read_mesh(Path(__file__).parents[2] / "meshes" / "plate_with_hole.msh")
    body.check()
    assert set(body.names) == {"plate", "left", "bottom", "right", "top", "hole"}
    area = integral(fem.Constant(body.mesh, 1.0) * ufl.dx(body.mesh))
    assert area == pytest.approx(18 * 10 - math.pi * 25 / 4, rel=1e-3)
    lengths = {"left": 5.0, "bottom": 13.0, "right": 10.0, "top": 18.0, "hole": math.pi * 2.5}
    for name, length in lengths.items():
        ds = ufl.Measure("ds", domain=body.mesh, subdomain_data=[(1, body.boundary(name))])
        assert integral(fem.Constant(body.mesh, 1.0) * ds(1)) == pytest.approx(length, rel=1e-3)


def test_a_mesh_can_be_read_on_this_process_alone(drawn):
    body = read_mesh(drawn("triangle", 1), MPI.COMM_SELF)
    assert body.mesh.comm.size == 1
