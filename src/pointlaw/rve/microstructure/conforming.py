"""Periodic meshes that follow the inclusions, by gmsh (an extra): triangles in 2D, tetrahedra in 3D.

Gmsh takes lengths below 1e-7 for nothing, whatever the unit; so it is given the box with its longest edge as the unit.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pointlaw.errors import EnvironmentProblem, InputError, MeshError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.rve.microstructure.ellipsoids import Ellipsoids, images
from pointlaw.tensors import Array

Entity = tuple[int, int]
_CUT_DIFFERENTLY = "The faces of the box are cut differently on both sides; move an inclusion off the corner."


def mesh_inclusions(
    inclusions: Ellipsoids, element_size: float, names: Mapping[str, int], *, voids: bool, comm: Any
) -> TaggedMesh:
    """Return the mesh of ellipsoidal inclusions; see :meth:`Inclusions.conforming_mesh`."""
    unit = float(inclusions.size.max())

    def shapes(occ: Any) -> list[Entity]:
        dim, made = len(inclusions.size), []
        centres, all_radii, size = (
            lengths / unit for lengths in (inclusions.centres, inclusions.radii, inclusions.size)
        )
        for centre, radii, axes in zip(centres, all_radii, inclusions.axes, strict=True):
            for place in _visible(centre, radii.max(), size):
                made.append(
                    (dim, _ellipse(occ, place, radii, axes) if dim == 2 else _ellipsoid(occ, place, radii, axes))
                )
        return made

    share = inclusions.fraction
    return _mesh(inclusions.size, shapes, element_size, names, share, voids=voids, comm=comm)


def mesh_fibres(
    section: Ellipsoids, length: float, element_size: float, names: Mapping[str, int], *, comm: Any
) -> TaggedMesh:
    """Return the mesh of unidirectional fibres; see :meth:`Fibres.conforming_mesh`."""
    size = np.append(section.size, length)
    unit = float(size.max())

    def shapes(occ: Any) -> list[Entity]:
        made = []
        for centre, radii, axes in zip(section.centres / unit, section.radii / unit, section.axes, strict=True):
            for place in _visible(centre, radii.max(), section.size / unit):
                disc = (2, _ellipse(occ, place, radii, axes))
                made += [e for e in occ.extrude([disc], 0, 0, length / unit) if e[0] == 3]
                occ.remove([disc], recursive=False)
        return made

    return _mesh(size, shapes, element_size, names, section.fraction, voids=False, comm=comm)


def _ellipse(occ: Any, place: Array, radii: Array, axes: Array) -> int:
    """Add a disc or an ellipse; true circles are cut more reliably than distorted ones."""
    long = int(np.argmax(radii))
    x, y = axes[:, long]
    tag: int = occ.addDisk(*place, 0.0, radii[long], radii[1 - long])
    occ.rotate([(2, tag)], *place, 0.0, 0.0, 0.0, 1.0, float(np.arctan2(y, x)))
    return tag


def _ellipsoid(occ: Any, place: Array, radii: Array, axes: Array) -> int:
    """Add a sphere or an ellipsoid."""
    if np.allclose(radii / radii[0], 1.0):
        tag: int = occ.addSphere(*place, radii[0])
        return tag
    tag = occ.addSphere(0.0, 0.0, 0.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes * radii, place
    occ.affineTransform([(3, tag)], matrix.ravel().tolist())
    return tag


def _visible(centre: Array, reach: float, size: Array) -> list[Array]:
    """Return the periodic images of a centre whose shape may reach into the box."""
    places = centre + images(size)
    return [p for p in places if (p > -reach).all() and (p < size + reach).all()]


def _mesh(
    size: Array,
    shapes: Callable[[Any], list[Entity]],
    element_size: float,
    names: Mapping[str, int],
    fraction: float,
    *,
    voids: bool,
    comm: Any,
) -> TaggedMesh:
    if not element_size > 0.0:
        raise InputError(f"element_size = {element_size} must be positive.")
    comm = MPI.COMM_SELF if comm is None else comm
    dim, unit = len(size), float(size.max())
    size, element_size = size / unit, element_size / unit
    with _session() as gmsh:
        occ = gmsh.model.occ
        whole = (dim, occ.addRectangle(0, 0, 0, *size) if dim == 2 else occ.addBox(0, 0, 0, *size))
        tools = shapes(occ)
        _, parts = occ.fragment([whole], tools)
        inside, covered = set(parts[0]), {part for group in parts[1:] for part in group}
        occ.remove(sorted(covered - inside), recursive=True)
        groups = {"matrix": sorted(inside - covered), "inclusion": sorted(inside & covered)}
        found = sum(occ.getMass(*part) for part in groups["inclusion"]) / float(size.prod())
        if abs(found - fraction) > 1e-4:
            raise MeshError(
                f"Gmsh cut a fraction of {found:.5f} out of the box instead of {fraction:.5f}; leave a gap between "
                "inclusions, move those that graze a face, or use a voxel mesh."
            )
        if voids:
            occ.remove(groups.pop("inclusion"), recursive=True)
        occ.synchronize()
        for (name, tag), entities in zip(names.items(), groups.values(), strict=False):
            gmsh.model.addPhysicalGroup(dim, [t for _, t in entities], tag, name)
        for axis in range(dim):
            _make_periodic(gmsh, dim, axis, size)
        for option, value in (("MeshSizeMax", 1.0), ("MeshSizeMin", 0.5)):
            gmsh.option.setNumber(f"Mesh.{option}", value * element_size)
        gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 1)
        try:
            gmsh.model.mesh.generate(dim)
        except Exception as error:
            raise MeshError(f"Gmsh cannot mesh this microstructure: {error}. Leave a gap between inclusions.") from None
        return _convert(gmsh, size, unit, comm)


def _convert(gmsh: Any, size: Array, unit: float, comm: Any) -> TaggedMesh:
    from dolfinx.io.gmsh import model_to_mesh

    data = model_to_mesh(gmsh.model, comm, 0, gdim=len(size))
    data.mesh.geometry.x[:] *= unit
    named = {name: (int(group.dim), int(group.tag)) for name, group in data.physical_groups.items()}
    return TaggedMesh(data.mesh, data.cell_tags, None, named, "the conforming mesh", (np.zeros(len(size)), unit * size))


@contextlib.contextmanager
def _session() -> Iterator[Any]:
    """Give gmsh with an empty model; one that was open before is left as it was."""
    try:
        import gmsh
    except (ImportError, OSError):
        raise EnvironmentProblem(
            "A conforming mesh needs gmsh and its system libraries: pip install 'pointlaw[mesh]', or use a voxel mesh."
        ) from None
    own = not gmsh.isInitialized()
    if own:
        gmsh.initialize(interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add("pointlaw_cell")
    try:
        yield gmsh
    finally:
        gmsh.model.remove()
        if own:
            gmsh.finalize()


def _make_periodic(gmsh: Any, dim: int, axis: int, size: Array) -> None:
    """Let every part of the upper face across ``axis`` be meshed like its counterpart on the lower one."""
    small = 5e-5  # the boxes that gmsh finds around its shapes are some 1e-6 too large once they were cut
    shift = np.eye(4)
    shift[axis, 3] = size[axis]
    step = np.zeros(3)
    step[axis] = size[axis]
    low, high = np.full(3, -small), np.append(size, np.zeros(3 - dim)) + small
    high_of_lower, low_of_upper = high.copy(), low.copy()
    high_of_lower[axis], low_of_upper[axis] = small, size[axis] - small
    lower = gmsh.model.getEntitiesInBoundingBox(*low, *high_of_lower, dim - 1)
    upper = gmsh.model.getEntitiesInBoundingBox(*low_of_upper, *high, dim - 1)
    if not lower or len(lower) != len(upper):
        raise MeshError(_CUT_DIFFERENTLY)
    for entity in upper:
        target = np.array(gmsh.model.getBoundingBox(*entity)) - np.tile(step, 2)
        for master in lower:
            if np.abs(np.array(gmsh.model.getBoundingBox(*master)) - target).max() < 2.0 * small:
                gmsh.model.mesh.setPeriodic(dim - 1, [entity[1]], [master[1]], shift.ravel().tolist())
                break
        else:
            raise MeshError(_CUT_DIFFERENTLY)
