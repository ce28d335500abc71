"""What a material is, in plain data for the card of a dataset."""

from typing import Any

import numpy as np

from pointlaw.materials import Material

LARGEST = 64  # entries of an array that a card can hold; of larger ones it keeps shape, sum and extremes


def describe(material: Material) -> dict[str, Any]:
    """Return class and public parameters of ``material`` as plain data.

    A material with a method ``describe()`` (such as a volume element) speaks for itself. Arrays of more than
    ``LARGEST`` entries are represented by their shape, sum and extremes.
    """
    if callable(own := getattr(material, "describe", None)):
        return dict(own())
    found: dict[str, Any] = {"law": type(material).__name__}
    for name, value in vars(material).items():
        if not name.startswith("_") and name not in ("kinematics", "state_layout", "symmetric", "update"):
            plain = _plain(value)
            if plain is not None:
                found[name] = plain
    return found


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
