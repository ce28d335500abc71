"""Pictures of cells: what is drawn is what is there."""

import numpy as np
import pytest

from pointlaw.rve.microstructure import Laminate, Polycrystal, Truss
from pointlaw.rve.picture import cell_tags, draw_mesh, outer_facets

pytestmark = pytest.mark.fem


@pytest.mark.parametrize(
    "mesh",
    [
        lambda: Laminate([0.5, 0.5]).mesh(4),
        lambda: Polycrystal(9, seed=0).mesh(4),
        lambda: Truss("cubic", fraction=0.3).mesh(6, voids=["void"]),
    ],
)
def test_a_cell_is_drawn_into_a_file(mesh, tmp_path):
    pytest.importorskip("matplotlib")
    draw_mesh(mesh(), tmp_path / "new" / "cell.png")
    assert (tmp_path / "new" / "cell.png").stat().st_size > 2000


def test_the_surface_of_a_cube_is_its_six_faces():
    corners, behind = outer_facets(Laminate([0.5, 0.5], dim=3).mesh(3).mesh)
    sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]])
    assert np.linalg.norm(np.cross(*sides), axis=1).sum() == pytest.approx(6.0)
    assert len(corners) == len(behind) == 6 * 9


def test_tags_are_those_of_the_image():
    image = Polycrystal(4, dim=2, seed=1).image(6)
    assert np.array_equal(np.bincount(cell_tags(image.mesh(6))), np.bincount(image.voxels.ravel()))
