"""A mesh with named parts: which cells are steel, which facets are clamped.

A part is named by its physical name, its integer tag, or a function of the coordinates. A name that the mesh lacks is
an error that lists the names it has, on every rank alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dolfinx
import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import MeshError
from pointlaw.fem.jit import jit_options
from pointlaw.tensors import Array

Marker = Callable[[Array], np.ndarray]
Where = str | int | Marker


@dataclass(frozen=True)
class TaggedMesh:
    """A DOLFINx mesh, the tags of its cells and facets, and the names of these tags.

    Attributes
    ----------
    mesh
        The mesh; the unit of its coordinates is the user's unit of length.
    cell_tags, facet_tags
        Integer tags, or ``None`` where the file had none.
    names
        Physical name to ``(dimension, tag)``, followed by the tags of what it shares with other names, if any; the
        name and its tag then mean all of them.
    source
        File or function the mesh came from, for messages.
    box
        Lower and upper corner ``[d]`` of the box whose microstructure this is, voids included; ``None`` where nobody
        said, and the mesh itself has to reach the faces of its box.
    """

    mesh: dolfinx.mesh.Mesh
    cell_tags: dolfinx.mesh.MeshTags | None = None
    facet_tags: dolfinx.mesh.MeshTags | None = None
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = "the mesh"
    box: tuple[Array, Array] | None = None

    @property
    def dim(self) -> int:
        """Topological dimension."""
        return self.mesh.topology.dim

    def cells(self, where: Where) -> np.ndarray:
        """Return the local indices of the owned cells of a part; raises ``MeshError`` if the mesh has none."""
        owned = self.mesh.topology.index_map(self.dim).size_local
        if callable(where):
            cells = dolfinx.mesh.locate_entities(self.mesh, self.dim, where)
        else:
            cells = self._find(where, self.dim, self.cell_tags, "cells")
        return self._not_empty(cells[cells < owned], where, "cells").astype(np.int32)

    def facets(self, where: Where) -> np.ndarray:
        """Return the local indices of the facets of a part; raises ``MeshError`` if the mesh has none.

        A function of the coordinates ``x[3, n] -> bool[n]`` picks facets of the boundary whose vertices all fulfil it.
        """
        if callable(where):
            self.mesh.topology.create_connectivity(self.dim - 1, self.dim)
            facets = dolfinx.mesh.locate_entities_boundary(self.mesh, self.dim - 1, where)
        else:
            facets = self._find(where, self.dim - 1, self.facet_tags, "facets")
        return self._not_empty(facets, where, "facets").astype(np.int32)

    def boundary(self, where: Where) -> np.ndarray:
        """Return the integration entities (cell, local facet) of a part of the boundary, flattened.

        Raises ``MeshError`` if facets of the part lie inside the body, where no load can act.
        """
        facets = self.facets(where)
        self.mesh.topology.create_connectivity(self.dim - 1, self.dim)
        exterior = dolfinx.mesh.exterior_facet_indices(self.mesh.topology)
        owned = facets[facets < self.mesh.topology.index_map(self.dim - 1).size_local]
        inside = self.mesh.comm.allreduce(len(np.setdiff1d(owned, exterior)))
        if inside:
            raise MeshError(f"{inside} facets of {place_name(where)} lie inside the body; a load needs the boundary.")
        return fem.compute_integration_domains(fem.IntegralType.exterior_facet, self.mesh.topology, facets)

    def check(self) -> None:
        """Raise ``MeshError`` if a cell is degenerate, turned inside out or folded over its neighbour."""
        mesh = self.mesh
        owned = np.arange(mesh.topology.index_map(self.dim).size_local, dtype=np.int32)
        vertices = _corner_points(mesh)
        expression = fem.Expression(ufl.JacobianDeterminant(mesh), vertices, jit_options=jit_options())
        determinant = expression.eval(mesh, owned).reshape(len(owned), len(vertices))  # a rank may own no cell
        smallest, largest = determinant.min(axis=1, initial=np.inf), determinant.max(axis=1, initial=-np.inf)
        twisted = smallest * largest <= 0.0
        # A cell that has collapsed has a determinant of rounding size and any sign.
        flat = np.maximum(-smallest, largest) <= 1e-13 * mesh.h(self.dim, owned) ** self.dim
        bad = np.union1d(owned[twisted | flat], self._folded())
        count = mesh.comm.allreduce(len(bad))
        if not count:
            return
        midpoints = dolfinx.mesh.compute_midpoints(mesh, self.dim, bad[:1].astype(np.int32))
        places = [list(map(float, place[0])) for place in mesh.comm.allgather(midpoints) if len(place)]
        raise MeshError(
            f"{self.source} has {count} cells that are degenerate, inverted or folded over a neighbour, "
            f"the first near x = {[float(f'{x:.6g}') for x in places[0]]}; mesh this place again."
        )

    def _folded(self) -> np.ndarray:
        """Return owned cells that lie on the same side of a facet as the neighbour they share it with."""
        mesh, tdim = self.mesh, self.dim
        mesh.topology.create_connectivity(tdim - 1, tdim)
        mesh.topology.create_connectivity(tdim, tdim - 1)
        links = mesh.topology.connectivity(tdim - 1, tdim)
        interior = np.flatnonzero(np.diff(links.offsets) == 2).astype(np.int32)
        if tdim < 2 or not len(interior):
            return np.empty(0, dtype=np.int32)
        cells = links.array[links.offsets[interior][:, None] + np.arange(2)].astype(np.int32)
        corners = mesh.geometry.x[dolfinx.mesh.entities_to_geometry(mesh, tdim - 1, interior)]
        if tdim == 2:
            along = corners[:, 1] - corners[:, 0]
            normal = np.stack([-along[:, 1], along[:, 0], np.zeros(len(along))], axis=1)
        else:
            normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        origin = corners.mean(axis=1)
        side = [
            ((dolfinx.mesh.compute_midpoints(mesh, tdim, np.ascontiguousarray(c)) - origin) * normal).sum(axis=1)
            for c in cells.T
        ]
        folded = cells[side[0] * side[1] > 0].ravel()
        return folded[folded < mesh.topology.index_map(tdim).size_local]

    def _find(self, where: str | int, dim: int, tags: dolfinx.mesh.MeshTags | None, kind: str) -> np.ndarray:
        if not isinstance(where, str | int | np.integer):
            raise MeshError(
                f"{where!r} is no place; a place is a name, a tag, a Point or a function of the coordinates."
            )
        values = np.empty(0, dtype=np.int32) if tags is None else tags.values
        present = sorted({int(v) for part in self.mesh.comm.allgather(np.unique(values)) for v in part})
        named = {name: tag for name, (d, tag, *_) in self.names.items() if d == dim}
        groups = {tag: (tag, *shared) for d, tag, *shared in self.names.values() if d == dim}
        tag = named.get(where) if isinstance(where, str) else int(where)
        wanted = () if tag is None else groups.get(tag, (tag,))
        if not set(wanted) & set(present):
            told = {value for tags in groups.values() for value in tags}
            known = [f"'{name}' ({tag})" for name, tag in named.items()] + [
                str(value) for value in present if value not in told
            ]
            raise MeshError(
                f"{self.source} has no {kind} tagged {place_name(where)}; "
                f"it has {', '.join(known) if known else 'no tags'}."
            )
        return np.empty(0, dtype=np.int32) if tags is None else tags.indices[np.isin(tags.values, wanted)]

    def _not_empty(self, entities: np.ndarray, where: Where, kind: str) -> np.ndarray:
        if self.mesh.comm.allreduce(len(entities)) == 0:
            raise MeshError(f"{self.source} has no {kind} at {place_name(where)}.")
        return entities


def tagged(mesh: "TaggedMesh | dolfinx.mesh.Mesh") -> TaggedMesh:
    """Return ``mesh`` itself if it is tagged, else a :class:`TaggedMesh` without tags."""
    return mesh if isinstance(mesh, TaggedMesh) else TaggedMesh(mesh)


def place_name(where: Where) -> str:
    """Return what messages call a place; the same on all ranks, which the ``repr`` of a function is not."""
    return f"the place {getattr(where, '__name__', where)}" if callable(where) else repr(where)


def rounded(x: Array, size: float, digits: int) -> Array:
    """Return lengths rounded to so many digits behind the point, counted in the power of ten below ``size``."""
    decimals = digits - int(np.floor(np.log10(size)))
    result: Array = np.round(x, decimals) + 0.0  # no negative zeros
    return result


def _corner_points(mesh: dolfinx.mesh.Mesh) -> Array:
    """Return the reference corners ``[n, tdim]``, pulled in a little so that collapsed corners still have a sign."""
    import basix

    corners = basix.geometry(mesh.basix_cell())
    return corners.mean(axis=0) + (1.0 - 1e-6) * (corners - corners.mean(axis=0))
