"""What a material is, in plain data for the card of a dataset."""

import hashlib
import inspect
from typing import Any

import numpy as np

from pointlaw.materials import Material
from pointlaw.rve.element import VolumeElement

_ELSEWHERE = ("kinematics", "state_layout", "symmetric", "update")  # on the card already, or no parameter
LARGEST = 64  # entries of an array that a card can hold; of larger ones it keeps shape, sum and extremes


def describe(material: Material) -> dict[str, Any]:
    """Return class and parameters of ``material`` as plain data, the class under ``class``.

    Parameters are the arguments of its constructor that it keeps under their names (all public attributes if it keeps
    none of them). Arrays of more than ``LARGEST`` entries are represented by their shape, sum and extremes; of a volume
    element the mesh is represented by its numbers and a hash.
    """
    # Not under "law": that is the name of a wrapper's parameter.
    found: dict[str, Any] = {"class": type(material).__name__}
    kept = {name: value for name, value in vars(material).items() if not name.startswith("_")}
    if isinstance(element := kept.get("element"), VolumeElement):
        engine = kept.get("engine")
        options = {name: getattr(engine, name, None) for name in ("tolerance", "iterations", "max_cuts")}
        return found | _element(element) | options
    arguments = inspect.signature(type(material).__init__).parameters
    chosen = {name: kept[name] for name in arguments if name in kept} or kept
    plain = {name: _plain(value) for name, value in chosen.items() if name not in _ELSEWHERE}
    return found | {name: value for name, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it, ``None`` if it cannot."""
    if isinstance(value, Material):
        return describe(value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        if value.size <= LARGEST:
            return value.tolist()
        extremes = {"sum": float(value.sum()), "smallest": float(value.min()), "largest": float(value.max())}
        return {"shape": list(value.shape), **extremes}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None


def mesh_hash(element: VolumeElement) -> str:
    """Return a SHA-256 over what the user gave: places of the corners cell by cell, and the phase of each cell."""
    geometry = element.body.mesh.geometry
    order = np.argsort(element.body.mesh.topology.original_cell_index)
    corners = np.ascontiguousarray(np.round(geometry.x[geometry.dofmaps[0]][order], 12))
    phase = np.zeros(len(order), dtype=np.int64)
    for number, cells in enumerate(element.cells.values()):
        phase[cells] = number
    return hashlib.sha256(corners.tobytes() + phase[order].tobytes()).hexdigest()


def _element(element: VolumeElement) -> dict[str, Any]:
    """Return mesh, phases and constraint of a volume element."""
    count = len(element.body.mesh.topology.original_cell_index)
    volumes = {str(tag): float(len(cells) / count) for tag, cells in element.cells.items()}
    return {
        "mesh": {
            "source": element.body.source,
            "cell": element.body.mesh.topology.cell_name(),
            "cells": count,
            "nodes": len(element.x),
            "unknowns": element.free,
            "box": (element.nodes.upper - element.nodes.lower).round(12).tolist(),
            "share_of_cells": volumes,
            "sha256": mesh_hash(element),
        },
        "degree": element.degree,
        "quadrature_degree": element.quadrature_degree,
        "constraint": repr(element.constraint),
        "phases": {str(tag): describe(law) for tag, law in element.phases.items()},
    }
