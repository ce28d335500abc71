"""Sentences for wrong material parameters, shared by all laws."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials.base import Material
from pointlaw.tensors import Array


def positive(law: str, **values: float) -> None:
    """Raise ``InputError`` unless every value is finite and > 0."""
    for name, value in values.items():
        if not (_is_finite(value) and value > 0):
            raise InputError(f"{law}: {name} = {_shown(value)} must be a finite number > 0.")


def non_negative(law: str, **values: float) -> None:
    """Raise ``InputError`` unless every value is finite and ≥ 0."""
    for name, value in values.items():
        if not (_is_finite(value) and value >= 0):
            raise InputError(f"{law}: {name} = {_shown(value)} must be a finite number ≥ 0.")


def finite(law: str, **values: float) -> None:
    """Raise ``InputError`` unless every value is a finite number."""
    for name, value in values.items():
        if not _is_finite(value):
            raise InputError(f"{law}: {name} = {_shown(value)} must be a finite number.")


def whole(law: str, **values: int) -> None:
    """Raise ``InputError`` unless every value is an integer > 0."""
    for name, value in values.items():
        if not (isinstance(value, int | np.integer) and value > 0):
            raise InputError(f"{law}: {name} = {_shown(value)} must be an integer > 0.")


def poisson_ratio(law: str, nu: float) -> None:
    """Raise ``InputError`` unless −1 < ν < 0.5."""
    if not (_is_finite(nu) and -1.0 < nu < 0.5):
        raise InputError(
            f"{law}: Poisson's ratio nu = {_shown(nu)} must lie between -1 and 0.5; "
            "for a nearly incompressible solid use 0.49 with degree 2."
        )


def numbers(law: str, **values: Sequence[float]) -> None:
    """Raise ``InputError`` unless every value is a list of finite numbers."""
    for name, value in values.items():
        listed = isinstance(value, Sequence) or getattr(value, "ndim", 0) == 1
        if not (listed and all(map(_is_finite, value))):
            raise InputError(f"{law}: {name} = {_shown(value)} must be a list of finite numbers.")


def array(law: str, name: str, value: ArrayLike) -> Array:
    """Return ``value`` as an array of floats; raises ``InputError`` if it is none."""
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"{law}: {name} = {_shown(value)} must be a number, or a list of numbers, or lists of equal lengths."
        ) from None


def same_length(law: str, **values: Sequence[float]) -> None:
    """Raise ``InputError`` unless all sequences have the same length."""
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{law}: the parameter lists must have the same length; got {lengths}.")


def is_law(wrapper: str, law: Material) -> None:
    """Raise ``InputError`` unless ``law`` is a material, and not the name or the class of one."""
    if not isinstance(law, Material):
        raise InputError(f"{wrapper}: law = {law!r} must be a Material; make the law first, with its parameters.")


def not_collective(wrapper: str, law: Material, inside: str = "law") -> None:
    """Raise ``InputError`` unless ``law`` is a law that a rank may call alone: a wrapper asks where it has points."""
    is_law(wrapper, law)
    if law.collective:
        name = type(law).__name__
        raise InputError(
            f"{wrapper}: {name} is called by all ranks together and must be the outermost law, or ranks would wait for "
            f"each other for ever; write {name}({wrapper}({inside}))."
        )


def _is_finite(value: object) -> bool:
    """Return whether ``value`` is one finite number."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except TypeError:
        return False


def _shown(value: object) -> str:
    """Return ``value`` as it was written: a text in its quotes."""
    return repr(value) if isinstance(value, str) else str(value)
