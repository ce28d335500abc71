"""Named parts of a mesh, and meshes that no result may come from."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest
from fem_bodies import cube, mesh_of, move_inner_nodes, square, with_sides

from pointlaw.errors import MeshError
from pointlaw.fem import TaggedMesh
from pointlaw.fem.tagged_mesh import tagged

pytestmark = pytest.mark.fem

BAD = "degenerate, inverted or folded"
CELLS = ("triangle", "quadrilateral", "tetrahedron", "hexahedron")


@pytest.fixture(scope="module")
def body():
    parts = {"soft": lambda x: x[0] <= 0.5 + 1e-9, "stiff": lambda x: x[0] >= 0.5 - 1e-9}
    return square(4, parts=parts)


def test_a_part_is_found_by_its_name_and_by_its_number(body):
    np.testing.assert_array_equal(body.facets("right"), body.facets(2))
    assert len(body.facets("right")) == 4
    np.testing.assert_array_equal(body.cells("stiff"), body.cells(2))
    assert len(body.cells("soft")) == len(body.cells("stiff")) == 8


def test_an_unknown_name_of_facets_lists_the_names_that_exist(body):
    with pytest.raises(MeshError, match=r"no facets tagged 'lft'; it has 'left' \(1\), 'right' \(2\)") as caught:
        body.facets("lft")
    assert "'soft'" not in str(caught.value)


def test_an_unknown_number_of_cells_lists_the_tags_that_exist(body):
    with pytest.raises(MeshError, match=r"no cells tagged 7; it has 'soft' \(1\), 'stiff' \(2\)"):
        body.cells(7)


def test_a_name_of_cells_is_not_a_name_of_facets(body):
    with pytest.raises(MeshError, match=r"no facets tagged 'soft'"):
        body.facets("soft")


def test_a_tag_without_a_name_is_listed_by_its_number():
    mesh = square(2)
    bare = TaggedMesh(mesh.mesh, None, mesh.facet_tags, {"left": (1, 1)}, "plate.msh")
    with pytest.raises(MeshError, match=r"plate\.msh has no facets tagged 'top'; it has 'left' \(1\), 2, 3, 4\."):
        bare.facets("top")


def test_a_mesh_without_tags_says_so():
    with pytest.raises(MeshError, match="it has no tags"):
        tagged(square(1).mesh).cells("steel")


def test_a_name_whose_tag_no_entity_carries_is_an_error():
    mesh = square(2)
    ghost = TaggedMesh(mesh.mesh, None, mesh.facet_tags, {**mesh.names, "crack": (1, 99)})
    with pytest.raises(MeshError, match="no facets tagged 'crack'"):
        ghost.facets("crack")


def test_a_function_of_the_coordinates_picks_facets_of_the_boundary_only(body):
    near_left = body.facets(lambda x: x[0] < 0.3)
    assert len(near_left) == 4 + 2  # the left side, and one facet each of bottom and top


def test_an_empty_place_is_an_error_that_names_the_function(body):
    def far_away(x):
        return x[0] > 5.0

    with pytest.raises(MeshError, match="no facets at the place far_away"):
        body.facets(far_away)
    with pytest.raises(MeshError, match="no cells at the place far_away"):
        body.cells(far_away)


def test_a_load_on_facets_inside_the_body_is_an_error():
    mesh = square(4).mesh
    middle = dolfinx.mesh.locate_entities(mesh, 1, lambda x: np.isclose(x[0], 0.5))
    tags = dolfinx.mesh.meshtags(mesh, 1, middle, np.full(len(middle), 5, dtype=np.int32))
    inside = TaggedMesh(mesh, None, tags, {"weld": (1, 5)})
    assert len(inside.facets("weld")) == 4  # a support may sit there
    with pytest.raises(MeshError, match="4 facets of 'weld' lie inside the body"):
        inside.boundary("weld")


def test_boundary_entities_are_pairs_of_a_cell_and_its_local_facet(body):
    entities = body.boundary("top").reshape(-1, 2)
    body.mesh.topology.create_connectivity(2, 1)
    facets_of = body.mesh.topology.connectivity(2, 1)
    assert sorted(facets_of.links(cell)[local] for cell, local in entities) == body.facets("top").tolist()


# Cells that are wrong -----------------------------------------------------------------------------------------------


def build(cell, n=4):
    make = square if cell in ("triangle", "quadrilateral") else cube
    return make(n, cell)


def drag(body, target, node=None):
    """Put the node nearest to the middle of the unit body to ``target``."""
    x, dim = body.mesh.geometry.x, body.dim
    start = np.array([0.5, 0.5, 0.5 if dim == 3 else 0.0])
    x[np.argmin(np.linalg.norm(x - start, axis=1)), :dim] = target[:dim]
    return body


@pytest.mark.parametrize("cell", CELLS)
def test_a_node_dragged_through_its_neighbours_is_found(cell):
    body = drag(build(cell), (0.87, 0.52, 0.55))
    with pytest.raises(MeshError, match=BAD) as caught:
        body.check()
    place = np.array(eval(str(caught.value).split("x = ")[1].split(";")[0]))
    assert np.linalg.norm(place[:2] - [0.7, 0.5]) < 0.35


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_without_volume_is_found(cell):
    # The node of the middle falls onto a neighbour: simplices lose their volume, tensor cells a side.
    body = build(cell)
    if cell in ("triangle", "tetrahedron"):
        drag(body, (0.75, 0.5, 0.5))
    else:
        x = body.mesh.geometry.x
        x[np.isclose(x[:, 0], 0.5), 0] = 0.75  # one layer of cells collapses
    with pytest.raises(MeshError, match=BAD):
        body.check()


def test_a_quadrilateral_with_crossed_sides_is_found():
    bow_tie = mesh_of([[0, 1, 2, 3]], [[0, 0], [1, 0], [1, 1], [0, 1]], "quadrilateral")
    with pytest.raises(MeshError, match="has 1 cells"):
        tagged(bow_tie).check()


def test_a_quadrilateral_with_a_reentrant_corner_is_found():
    arrow = mesh_of([[0, 1, 2, 3]], [[0, 0], [1, 0], [0, 1], [0.2, 0.2]], "quadrilateral")
    with pytest.raises(MeshError, match="has 1 cells"):
        tagged(arrow).check()


def test_two_triangles_that_cover_each_other_are_found():
    folded = mesh_of([[0, 1, 2], [0, 1, 3]], [[0, 0], [1, 0], [0.5, 1], [0.4, 0.8]], "triangle")
    with pytest.raises(MeshError, match="has 2 cells"):
        tagged(folded).check()


def test_a_tetrahedron_turned_into_its_neighbour_is_found():
    points = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.3, 0.3, 1], [0.3, 0.3, 0.5]]
    with pytest.raises(MeshError, match=BAD):
        tagged(mesh_of([[0, 1, 2, 3], [0, 1, 2, 4]], points, "tetrahedron")).check()


def test_a_hexahedron_with_one_corner_pushed_through_is_found():
    corners = np.array([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)], dtype=float)
    corners[7] = [0.1, 0.1, 0.1]
    with pytest.raises(MeshError, match="has 1 cells"):
        tagged(mesh_of([range(8)], corners, "hexahedron")).check()


@pytest.mark.parametrize("depth", [0.3, 0.6])
def test_a_curved_triangle_whose_side_bulges_too_far_inwards_is_found(depth):
    # DOLFINx' order: corners 0, 1, 2, then the middles of the sides opposite to them.
    corners = np.array([[0, 0], [1, 0], [0, 1.0]])
    middles = np.array([[0.5 - depth, 0.5 - depth], [0, 0.5], [0.5, 0]])
    with pytest.raises(MeshError, match="has 1 cells"):
        tagged(mesh_of([range(6)], np.concatenate([corners, middles]), "triangle", 2)).check()


# Cells that are fine ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_strongly_distorted_cells_pass(cell):
    body = build(cell)
    move_inner_nodes(body.mesh, 0.06 if cell == "tetrahedron" else 0.08)
    body.check()


def test_triangles_that_run_clockwise_pass():
    tagged(mesh_of([[0, 2, 1], [1, 2, 3]], [[0, 0], [1, 0], [0, 1], [1, 1]], "triangle")).check()


def test_a_body_far_from_the_origin_and_tiny_passes():
    body = square(3, "triangle")
    body.mesh.geometry.x[:, :2] = 1e-6 * body.mesh.geometry.x[:, :2] + 10.0
    body.check()


@pytest.mark.parametrize("cell", ["tetrahedron", "hexahedron"])
def test_cells_flat_as_a_sheet_pass(cell):
    body = cube(2, cell)
    body.mesh.geometry.x[:, 2] *= 1e-5
    body.check()


@pytest.mark.parametrize("cell", ["quadrilateral", "hexahedron"])
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_a_collapsed_layer_is_found_though_rounding_gives_it_some_volume(cell, size):
    body = build(cell, 5)
    x = body.mesh.geometry.x
    x[np.isclose(x[:, 0], 0.4), 0] = 0.6
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    x[:, :2] = size * x[:, :2] @ turn.T
    x[:, 2] *= size
    with pytest.raises(MeshError, match=BAD):
        body.check()


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_meshes_that_gmsh_makes_around_a_hole_pass(cell, degree):
    gmsh = pytest.importorskip("gmsh")
    from dolfinx.io.gmsh import model_to_mesh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        occ, dim = gmsh.model.occ, 2 if cell in CELLS[:2] else 3
        plate = occ.addRectangle(0, 0, 0, 2, 1)
        occ.cut([(2, plate)], [(2, occ.addDisk(1.0, 0.4, 0, 0.25, 0.25))])
        if dim == 3:
            occ.extrude([(2, plate)], 0, 0, 0.4, numElements=[2], recombine=cell == "hexahedron")
        occ.synchronize()
        gmsh.model.addPhysicalGroup(dim, [tag for _, tag in gmsh.model.getEntities(dim)], 1)
        gmsh.option.setNumber("Mesh.MeshSizeMax", 0.25)
        if cell in ("quadrilateral", "hexahedron"):
            gmsh.option.setNumber("Mesh.RecombineAll", 1)
            gmsh.option.setNumber("Mesh.RecombinationAlgorithm", 2)
        gmsh.model.mesh.generate(dim)
        gmsh.model.mesh.setOrder(degree)
        mesh = model_to_mesh(gmsh.model, MPI.COMM_SELF, 0, gdim=dim).mesh
    finally:
        gmsh.finalize()
    assert mesh.topology.cell_name() == cell
    assert mesh.geometry.cmaps[0].degree == degree
    tagged(mesh).check()


def test_one_cell_alone_passes():
    with_sides(square(1).mesh).check()
