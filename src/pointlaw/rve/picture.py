"""A picture of a tagged mesh: phases of a plane cell, or the surface of a solid one, by matplotlib (an extra)."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

from pathlib import Path
from typing import Any

import dolfinx
import numpy as np

from pointlaw.errors import EnvironmentProblem, SetupError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.tensors import Array

# Calm, distinct colours for a few phases; many (grains) go round a colour wheel.
COLOURS = ("#d8d2c4", "#35608d", "#b5533c", "#6a994e", "#8e6c8a", "#e0a458")
LIGHT = np.array([0.35, -0.55, 0.75])


def draw_mesh(body: TaggedMesh, path: str | Path, *, edges: bool | None = None) -> None:
    """Draw the phases of a mesh into an image file.

    Parameters
    ----------
    body
        Mesh on one rank, 2D or 3D.
    path
        Image file; its suffix is any that matplotlib writes (``.png``, ``.pdf``, ``.svg``).
    edges
        Whether the edges of the elements are drawn; by default for up to 5000 elements.

    Raises
    ------
    SetupError
        If the mesh is spread over several ranks.
    EnvironmentProblem
        If matplotlib is not installed.
    """
    if body.mesh.comm.size > 1:
        raise SetupError(f"{body.source} is spread over {body.mesh.comm.size} ranks; draw it from COMM_SELF.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EnvironmentProblem("A picture needs matplotlib: pip install 'pointlaw[plot]'.") from None
    tags = cell_tags(body)
    shown = len(tags) <= 5000 if edges is None else edges
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    colours = _colours(np.unique(tags))
    (_draw_plane if body.dim == 2 else _draw_solid)(figure, body, tags, colours, edges=shown)
    _legend(figure, body, tags, colours)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)


def cell_tags(body: TaggedMesh) -> np.ndarray:
    """Return the tag of each cell ``[c]``, 0 where there is none."""
    tags = np.zeros(body.mesh.topology.index_map(body.dim).size_local, dtype=np.int32)
    if body.cell_tags is not None:
        tags[body.cell_tags.indices] = body.cell_tags.values
    return tags


def outer_facets(mesh: dolfinx.mesh.Mesh) -> tuple[Array, np.ndarray]:
    """Return the corners ``[f, k, 3]`` of the facets of the surface, in order, and the cell behind each ``[f]``."""
    mesh.topology.create_connectivity(2, 3)
    facets = dolfinx.mesh.exterior_facet_indices(mesh.topology)
    links = mesh.topology.connectivity(2, 3)
    behind = links.array[links.offsets[facets]]
    nodes = dolfinx.mesh.entities_to_geometry(mesh, 2, facets)
    order = [0, 1, 3, 2] if nodes.shape[1] == 4 else [0, 1, 2]
    corners: Array = mesh.geometry.x[nodes[:, order]]
    return corners, behind


def _draw_plane(figure: Any, body: TaggedMesh, tags: np.ndarray, colours: dict[int, Any], *, edges: bool) -> None:
    from matplotlib.collections import PolyCollection

    corners = body.mesh.geometry.x[body.mesh.geometry.dofmaps[0], :2]
    order = [0, 1, 3, 2] if body.mesh.topology.cell_name() == "quadrilateral" else [0, 1, 2]
    faces = [colours[int(tag)] for tag in tags]
    lines: dict[str, Any] = (
        {"edgecolors": "#00000030", "linewidths": 0.3} if edges else {"edgecolors": "face", "linewidths": 0.1}
    )
    axes = figure.subplots()
    axes.add_collection(PolyCollection(corners[:, order], facecolors=faces, **lines))
    axes.set(aspect="equal")
    axes.autoscale_view()
    axes.axis("off")


def _draw_solid(figure: Any, body: TaggedMesh, tags: np.ndarray, colours: dict[int, Any], *, edges: bool) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    corners, behind = outer_facets(body.mesh)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    inwards = dolfinx.mesh.compute_midpoints(body.mesh, 3, behind.astype(np.int32)) - corners.mean(axis=1)
    normal *= -np.sign(np.einsum("fi,fi->f", normal, inwards))[:, None]
    bright = 0.72 + 0.28 * normal @ (LIGHT / np.linalg.norm(LIGHT))
    faces = np.array([colours[int(tags[cell])] for cell in behind]) * bright[:, None]
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    lines = "#00000030" if edges else faces
    axes.add_collection3d(Poly3DCollection(corners, facecolors=faces, edgecolors=lines, linewidths=0.2))
    low, high = body.mesh.geometry.x.min(axis=0), body.mesh.geometry.x.max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), box_aspect=high - low)
    axes.view_init(elev=24, azim=-58)
    axes.set_axis_off()


def _colours(tags: np.ndarray) -> dict[int, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if len(tags) <= len(COLOURS):
        return {int(tag): to_rgb(colour) for tag, colour in zip(tags, COLOURS, strict=False)}
    wheel = colormaps["twilight"](np.modf(np.arange(len(tags)) * 0.618)[0])[:, :3]
    return {int(tag): tuple(colour) for tag, colour in zip(tags, wheel, strict=True)}


def _legend(figure: Any, body: TaggedMesh, tags: np.ndarray, colours: dict[int, Any]) -> None:
    from matplotlib.patches import Patch

    if len(colours) > 8:
        return
    names = {tag: name for name, (dim, tag, *_) in body.names.items() if dim == body.dim}
    shares = {tag: float(np.mean(tags == tag)) for tag in colours}
    patches = [
        Patch(color=colour, label=f"{names.get(tag, f'tag {tag}')} ({shares[tag]:.0%} of the elements)")
        for tag, colour in colours.items()
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 3), frameon=False)
