"""Sentences for wrong material parameters, shared by all laws."""

import math
from collections.abc import Sequence

from pointlaw.errors import InputError
from pointlaw.materials.base import Material


def positive(law: str, **values: float) -> None:
    """Raise ``InputError`` unless every value is finite and > 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{law}: {name} = {value} must be a finite number > 0.")


def non_negative(law: str, **values: float) -> None:
    """Raise ``InputError`` unless every value is finite and ≥ 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{law}: {name} = {value} must be a finite number ≥ 0.")


def poisson_ratio(law: str, nu: float) -> None:
    """Raise ``InputError`` unless −1 < ν < 0.5."""
    if not -1.0 < nu < 0.5:
        raise InputError(
            f"{law}: Poisson's ratio nu = {nu} must lie between -1 and 0.5; "
            "for a nearly incompressible solid use 0.49 with degree 2."
        )


def same_length(law: str, **values: Sequence[float]) -> None:
    """Raise ``InputError`` unless all sequences have the same length."""
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{law}: the parameter lists must have the same length; got {lengths}.")


def not_collective(wrapper: str, law: Material, inside: str = "law") -> None:
    """Raise ``InputError`` if all ranks must call ``law`` together: a wrapper calls it where it has points to ask."""
    if law.collective:
        name = type(law).__name__
        raise InputError(
            f"{wrapper}: {name} is called by all ranks together and must be the outermost law, or ranks would wait for "
            f"each other for ever; write {name}({wrapper}({inside}))."
        )
