"""Meshes from files: Gmsh and XDMF through DOLFINx, every other format through meshio.

Only rank 0 reads a foreign file; DOLFINx spreads it over the ranks. Physical names survive where the format has them.
A cell or facet has one tag only; where the sets of a file overlap, what they share gets a tag of its own, and each of
their names means all its tags.
"""

from pointlaw.fem.mpi import MPI, agree  # isort: skip - MPI before DOLFINx

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from dolfinx.io.utils import XDMFFile, distribute_entity_data

from pointlaw.errors import MeshError
from pointlaw.fem.tagged_mesh import TaggedMesh

# meshio's cell names with DOLFINx' and the degree of the geometry.
_CELLS = {
    "line": ("interval", 1),
    "line3": ("interval", 2),
    "triangle": ("triangle", 1),
    "triangle6": ("triangle", 2),
    "quad": ("quadrilateral", 1),
    "quad9": ("quadrilateral", 2),
    "tetra": ("tetrahedron", 1),
    "tetra10": ("tetrahedron", 2),
    "hexahedron": ("hexahedron", 1),
    "hexahedron27": ("hexahedron", 2),
}
# An Abaqus element with the type that meshio knows for its shape; the letters after the number are its formulation.
_ABAQUS_ELEMENT = re.compile(r"^(\*ELEMENT\b[^\n]*\bTYPE\s*=\s*)(CPE|CPS|CAX|C3D)(\d+)[A-Z]*", re.I | re.M)
_ABAQUS_PLANE = {"3": "CPS3", "4": "CPS4", "6": "CPE6", "8": "S8R"}
_DIM = {"vertex": 0, "interval": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}


def read_mesh(path: str | Path, comm: Any = None) -> TaggedMesh:
    """Read a mesh with its tags and physical names.

    Parameters
    ----------
    path
        ``.msh`` (needs gmsh), ``.xdmf`` as DOLFINx or meshio writes it, or any format that meshio reads
        (Abaqus ``.inp``, VTK ``.vtu``, Nastran ``.bdf``, MED, Exodus, …). Abaqus' plane, axisymmetric and solid
        elements are read by their shape, whatever their formulation.
    comm
        MPI communicator, by default ``COMM_WORLD``.

    Raises
    ------
    MeshError
        On every rank, if the file is missing or damaged, has several cell types, or cells that DOLFINx lacks.
    """
    comm = MPI.COMM_WORLD if comm is None else comm
    path = Path(path)
    missing = None if comm.rank or path.is_file() else MeshError(f"There is no mesh file {path}.")
    agree(comm, missing)
    if path.suffix == ".xdmf":
        return _read_xdmf(path, comm)
    reader: Callable[[Path, Any], TaggedMesh] = _read_gmsh if path.suffix == ".msh" else _read_meshio
    return reader(path, comm)


def _read_gmsh(path: Path, comm: Any) -> TaggedMesh:
    try:
        import gmsh
    except (ImportError, OSError):  # not installed, or its system libraries are missing: meshio reads most files
        return _read_meshio(path, comm)
    from dolfinx.io.gmsh import model_to_mesh

    problem, dim = None, None
    names: dict[str, tuple[int, ...]] = {}
    if comm.rank == 0:
        gmsh.initialize(interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        try:
            gmsh.merge(str(path))
            dim = gmsh.model.getDimension()
            problem = _gmsh_problem(gmsh, path, dim)
            names = {} if problem else _gmsh_names(gmsh, dim)
        except MeshError as error:
            problem = error
        except Exception as error:
            problem = MeshError(f"Gmsh cannot read {path}: {error}")
    try:
        agree(comm, problem)
        dim, names = comm.bcast((dim, names))
        data = model_to_mesh(gmsh.model, comm, 0, gdim=dim)
    finally:
        if comm.rank == 0:
            gmsh.finalize()
    return TaggedMesh(data.mesh, data.cell_tags, data.facet_tags, names, str(path))


def _gmsh_problem(gmsh: Any, path: Path, dim: int) -> MeshError | None:
    """Return what is wrong with the body in the current Gmsh model, if anything."""
    groups = gmsh.model.getPhysicalGroups(dim)
    if not groups:
        return MeshError(f"{path} has no physical group of dimension {dim}; name the body in Gmsh.")
    entities = {entity for group in groups for entity in gmsh.model.getEntitiesForPhysicalGroup(*group)}
    parts = [entity for _, entity in gmsh.model.getEntities(dim) if gmsh.model.mesh.getElementTypes(dim, entity).size]
    if bare := set(parts) - entities:
        return MeshError(
            f"{path} has {len(bare)} of {len(parts)} parts of the body in no physical group; name them all in Gmsh."
        )
    types = {int(kind) for entity in entities for kind in gmsh.model.mesh.getElementTypes(dim, entity)}
    names = sorted(gmsh.model.mesh.getElementProperties(kind)[0] for kind in types)
    if len(names) > 1:
        return _several_types(path, names)
    _require_plane(path, np.asarray(gmsh.model.mesh.getNodes()[1]).reshape(-1, 3), dim)
    return None


def _gmsh_names(gmsh: Any, dim: int) -> dict[str, tuple[int, ...]]:
    """Return dimension and tags of each name in the current Gmsh model, whose groups are made disjoint for it."""
    names: dict[str, tuple[int, ...]] = {}
    for d in range(dim + 1):
        groups = [tag for _, tag in gmsh.model.getPhysicalGroups(d)]
        entities = np.array([entity for _, entity in gmsh.model.getEntities(d)])
        if not groups:
            continue
        member = np.array([np.isin(entities, gmsh.model.getEntitiesForPhysicalGroup(d, tag)) for tag in groups])
        values, meaning = _disjoint(member, groups)
        for tag, tags in zip(groups, meaning, strict=True):
            name = gmsh.model.getPhysicalName(d, tag) or (f"group {tag}" if len(tags) > 1 else "")
            if name:
                names[name] = (d, *tags)
        if any(len(tags) > 1 for tags in meaning):
            gmsh.model.removePhysicalGroups([(d, tag) for tag in groups])
            for value in np.unique(values[values > 0]).tolist():
                gmsh.model.addPhysicalGroup(d, entities[values == value].tolist(), value)
    return names


def _disjoint(member: np.ndarray, tags: Sequence[int]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Give each item one tag, though it may be in several sets.

    Parameters
    ----------
    member : bool [sets, items]
        Which items are in which set.
    tags : [sets]
        Tag of each set, for the items that it has for itself.

    Returns
    -------
    values : int [items]
        Tag of each item; a new one for each combination of sets that share items, 0 for items in no set.
    meaning : list of tuple
        For each set its tag, and the tags of what it shares.
    """
    combinations, which = np.unique(member, axis=1, return_inverse=True)
    count = combinations.sum(axis=0)
    value = np.where(count == 1, np.asarray(tags) @ combinations, 0)
    shared = count > 1
    value[shared] = max(tags) + 1 + np.arange(np.count_nonzero(shared))
    meaning = [(tag, *value[shared & row].tolist()) for tag, row in zip(tags, combinations, strict=True)]
    return value[which.reshape(-1)], meaning


def _several_types(path: Path, names: list[str]) -> MeshError:
    return MeshError(f"{path} mixes the cell types {names}; DOLFINx needs one. Mesh the body with one type.")


def _require_plane(path: Path, points: np.ndarray, dim: int) -> None:
    """Raise ``MeshError`` if a body of dimension 1 or 2 leaves its line or plane, for its other axes are dropped."""
    size = float(np.ptp(points, axis=0).max(initial=0.0)) if len(points) else 0.0
    for axis in range(max(dim, 1), points.shape[1]):
        if np.ptp(points[:, axis]) > 1e-9 * size:
            where = "the plane z = const" if dim == 2 else "the x axis"
            raise MeshError(f"{path} is a mesh of dimension {dim} that does not lie in {where}; rotate it there.")


def _read_xdmf(path: Path, comm: Any) -> TaggedMesh:
    problem, grids = None, {}
    if comm.rank == 0:
        try:
            grids = _xdmf_grids(path)
        except (ElementTree.ParseError, MeshError, OSError) as error:
            problem = MeshError(f"{path} cannot be read: {error}")
    agree(comm, problem)
    grids = comm.bcast(grids)
    with XDMFFile(comm, str(path), "r") as file:
        mesh = file.read_mesh(name=next(iter(grids)))
        tdim = mesh.topology.dim
        tags: dict[int, dolfinx.mesh.MeshTags] = {}
        for name, (dim, marked) in grids.items():
            if marked and dim in (tdim, tdim - 1) and dim not in tags:
                mesh.topology.create_connectivity(dim, tdim)
                tags[dim] = file.read_meshtags(mesh, name=name)
    return TaggedMesh(mesh, tags.get(tdim), tags.get(tdim - 1), {}, str(path))


def _xdmf_grids(path: Path) -> dict[str, tuple[int, bool]]:
    """Return each grid's dimension and whether it has cell values; the mesh comes first."""
    import h5py

    grids: dict[str, tuple[int, bool]] = {}
    dims = {"polyline": 1, "edge": 1, "triangle": 2, "quadrilateral": 2, "tetrahedron": 3, "hexahedron": 3}
    root = ElementTree.parse(path).getroot()
    for item in root.iter("DataItem"):
        text = (item.text or "").strip()
        if item.get("Format") == "HDF" and ":" in text:
            file, _, name = text.partition(":")
            with h5py.File(path.parent / file, "r") as data:
                if data[name].compression is not None:
                    raise MeshError("its HDF5 data are compressed; write it with meshio's compression=None")
    for grid in root.iter("Grid"):
        topology = grid.find("Topology")
        if topology is None or grid.get("Name") is None:
            continue
        kind = (topology.get("TopologyType") or topology.get("Type") or "").lower().split("_")[0]
        marked = any(attribute.get("Center") == "Cell" for attribute in grid.iter("Attribute"))
        grids[str(grid.get("Name"))] = (dims.get(kind, -1), marked)
    if not grids:
        raise MeshError("it holds no grid with a topology")
    return grids


def _read_meshio(path: Path, comm: Any) -> TaggedMesh:
    problem: MeshError | None = None
    parts: list[Any] = []
    names: dict[str, tuple[int, ...]] = {}
    kind, points = "", np.empty((0, 3))
    if comm.rank == 0:
        try:
            points, parts, names, kind = _meshio_parts(path)
        except MeshError as error:
            problem = error
        except (Exception, SystemExit) as error:  # meshio's readers raise what they like, SystemExit included
            problem = MeshError(f"meshio cannot read {path}: {error or type(error).__name__}")
    agree(comm, problem)
    names, kind = comm.bcast((names, kind))
    cell, degree = _CELLS[kind]
    dim = _DIM[cell]
    domain = ufl.Mesh(basix.ufl.element("Lagrange", cell, degree, shape=(dim,)))
    nodes = domain.ufl_coordinate_element().basix_element.dim
    cells = parts[0][0] if comm.rank == 0 else np.empty((0, nodes), dtype=np.int64)
    x = points[:, :dim] if comm.rank == 0 else np.empty((0, dim))
    mesh = dolfinx.mesh.create_mesh(comm, cells, domain, np.ascontiguousarray(x, dtype=float))
    tags = [_tags(mesh, dim - codim, parts[codim] if comm.rank == 0 else None) for codim in (0, 1)]
    return TaggedMesh(mesh, tags[0], tags[1], names, str(path))


def _meshio_parts(path: Path) -> tuple[np.ndarray, list[Any], dict[str, tuple[int, ...]], str]:
    """Return points, (cells, tags) of the body and of its facets in DOLFINx order, names, and the cell type."""
    import meshio

    data = meshio.read(_abaqus_text(path), file_format="abaqus") if path.suffix == ".inp" else meshio.read(path)
    known = [block for block in data.cells if block.type in _CELLS]
    if not known:
        raise MeshError(f"{path} has no cells that DOLFINx knows; it has {sorted({b.type for b in data.cells})}.")
    dim = max(_DIM[_CELLS[block.type][0]] for block in known)
    foreign = sorted({b.type for b in data.cells if b.type not in _CELLS and b.dim >= dim})
    body = sorted({b.type for b in known if _DIM[_CELLS[b.type][0]] == dim})
    if len(body) > 1 or foreign:
        raise _several_types(path, body + foreign)
    _require_plane(path, np.asarray(data.points, dtype=float), dim)
    values, names = _meshio_tags(data, dim)
    parts: list[Any] = []
    for codim in (0, 1):
        chosen = [i for i, b in enumerate(data.cells) if b.type in _CELLS and _DIM[_CELLS[b.type][0]] == dim - codim]
        if not chosen:
            parts.append(None)
            continue
        kind = data.cells[chosen[0]].type
        cells = np.concatenate([data.cells[i].data for i in chosen if data.cells[i].type == kind])
        tags = np.concatenate([values[i] for i in chosen if data.cells[i].type == kind])
        permutation = dolfinx.cpp.io.perm_vtk(dolfinx.mesh.to_type(_CELLS[kind][0]), cells.shape[1])
        parts.append((np.ascontiguousarray(cells[:, permutation], dtype=np.int64), tags.astype(np.int32)))
    return data.points, parts, names, body[0]


def _abaqus_text(path: Path) -> io.StringIO:
    """Return the text of an Abaqus file whose elements have the types that meshio knows for their shapes."""

    def known(match: re.Match[str]) -> str:
        begin, family, number = match[1], match[2].upper(), match[3]
        return begin + (f"C3D{number}" if family == "C3D" else _ABAQUS_PLANE.get(number, family + number))

    text = io.StringIO(_ABAQUS_ELEMENT.sub(known, path.read_text(encoding="utf-8", errors="replace")))
    text.name = str(path)  # meshio looks for included files beside it
    return text


def _meshio_tags(data: Any, dim: int) -> tuple[list[np.ndarray], dict[str, tuple[int, ...]]]:
    """Return integer tags of each cell block, and their names: physical groups, or named sets of cells."""
    sizes = [len(block.data) for block in data.cells]
    for values in data.cell_data.values():
        if all(np.issubdtype(np.asarray(v).dtype, np.integer) and np.asarray(v).ndim == 1 for v in values):
            groups: dict[str, tuple[int, ...]] = {n: (int(d), int(tag)) for n, (tag, d) in data.field_data.items()}
            return [np.asarray(v) for v in values], groups
    starts = np.cumsum([0, *sizes])
    dims = [_DIM[_CELLS[block.type][0]] if block.type in _CELLS else dim for block in data.cells]
    member = np.zeros((len(data.cell_sets), starts[-1]), dtype=bool)
    found: dict[str, int] = {}  # dimension of each set that has members
    for row, (name, members) in zip(member, data.cell_sets.items(), strict=True):
        for block, cells in enumerate(members):
            if cells is not None and len(cells):
                row[starts[block] + np.asarray(cells, dtype=int)] = True
                found[name] = max(found.get(name, 0), dims[block])  # of a set of cells and facets the cells
    if not len(member):
        return [np.zeros(n, dtype=np.int32) for n in sizes], {}
    values, meaning = _disjoint(member, range(1, len(member) + 1))
    names = {name: (found[name], *tags) for name, tags in zip(data.cell_sets, meaning, strict=True) if name in found}
    return np.split(values.astype(np.int32), starts[1:-1]), names


def _tags(mesh: dolfinx.mesh.Mesh, dim: int, part: Any) -> dolfinx.mesh.MeshTags | None:
    present = mesh.comm.bcast(part is not None)
    if not present:
        return None
    width = mesh.comm.bcast(part[0].shape[1] if part is not None else None)
    entities, values = part if part is not None else (np.empty((0, width), np.int64), np.empty(0, np.int32))
    local, local_values = distribute_entity_data(mesh, dim, entities, values)
    mesh.topology.create_connectivity(dim, mesh.topology.dim)
    return dolfinx.mesh.meshtags_from_entities(
        mesh, dim, dolfinx.graph.adjacencylist(local), local_values.astype(np.int32, copy=False)
    )
