"""What a material is, in plain data for the card of a dataset."""

import hashlib
import inspect
import json
from typing import Any

import numpy as np

from pointlaw.fem.tagged_mesh import rounded
from pointlaw.materials import Material
from pointlaw.rve.element import VolumeElement

_ELSEWHERE = ("kinematics", "state_layout", "symmetric", "update")  # on the card already, or no parameter
LARGEST = 64  # entries of an array that a card can hold; of larger ones it keeps shape and hash
DIGITS = 12  # of a coordinate that decide on the identity of a mesh; the others are round-off


def describe(material: Material) -> dict[str, Any]:
    """Return class and parameters of ``material`` as plain data, the class under ``class``.

    Parameters are the arguments of its constructor, where it keeps all of them under their names. Where it does not,
    they are its public attributes, and a hash of the private ones under ``hidden``; a law with an ``identity`` of its
    own has that instead. What is in closures, compiled code or objects of other kinds is not seen. Arrays of more than
    ``LARGEST`` entries are represented by their shape and a hash; of a volume element the mesh is represented by its
    numbers and a hash.
    """
    # Not under "law": that is the name of a wrapper's parameter.
    found: dict[str, Any] = {"class": type(material).__name__}
    own = vars(material)
    kept = {name: value for name, value in own.items() if not name.startswith("_")}
    if isinstance(element := kept.get("element"), VolumeElement):
        engine = kept.get("engine")
        options = {name: getattr(engine, name, None) for name in ("tolerance", "iterations", "max_cuts")}
        return found | _element(element) | options
    arguments = [name for name in inspect.signature(type(material).__init__).parameters if name != "self"]
    complete = all(name in kept for name in arguments)
    if type(material).identity is not Material.identity:
        found["identity"] = material.identity
    elif not complete and (hidden := _plain_entries({name: own[name] for name in own.keys() - kept.keys()})):
        found["hidden"] = _sha256(json.dumps(hidden, sort_keys=True).encode())
    named = {name: kept[name] for name in arguments if name in kept}
    return found | _plain_entries(named if complete or "identity" in found else kept)


def _plain_entries(values: dict[str, Any]) -> dict[str, Any]:
    """Return the ``values`` that JSON can hold."""
    plain = {name: _plain(value) for name, value in values.items() if name not in _ELSEWHERE}
    return {name: value for name, value in plain.items() if value is not None}


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
        return {"shape": list(value.shape), "sha256": _sha256(np.ascontiguousarray(value).tobytes())}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None


def mesh_hash(element: VolumeElement) -> str:
    """Return a SHA-256 over what the user gave: places of the corners cell by cell, and the phase of each cell."""
    geometry = element.body.mesh.geometry
    order = np.argsort(element.body.mesh.topology.original_cell_index)
    corners = np.ascontiguousarray(rounded(geometry.x[geometry.dofmaps[0]][order], _size(element), DIGITS))
    phase = np.zeros(len(order), dtype=np.int64)
    for number, cells in enumerate(element.cells.values()):
        phase[cells] = number
    return _sha256(corners.tobytes() + phase[order].tobytes())


def _size(element: VolumeElement) -> float:
    return float((element.nodes.upper - element.nodes.lower).max())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
            "box": rounded(element.nodes.upper - element.nodes.lower, _size(element), DIGITS).tolist(),
            "share_of_cells": volumes,
            "sha256": mesh_hash(element),
        },
        "degree": element.degree,
        "quadrature_degree": element.quadrature_degree,
        "constraint": repr(element.constraint),
        "phases": {str(tag): describe(law) for tag, law in element.phases.items()},
    }
