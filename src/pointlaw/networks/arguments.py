"""Wrong sizes and features get a sentence: what any network is called with, checked in one place.

The signature of the constructor says what each setting is. Without the check, no sub-steps are a loop that is never
entered and a stress of zero, no layers are taken for one, and no units are a division by zero somewhere inside torch.
"""

import functools
import inspect
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import UnionType
from typing import Any, get_args, get_type_hints

from pointlaw.errors import InputError

NEEDED = ("features", "outputs", "size")  # counts without a default that is a number


def check_arguments(network: type, given: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a setting in ``given`` that cannot be what the constructor of ``network`` declares.

    An ``int`` whose default is at least 1, ``features`` and ``outputs`` count something and are at least 1; so are
    the widths in a ``list[int]``, of which there is at least one. A ``float`` is finite, a ``bool`` no number. Settings
    of other types, and those that the constructor does not know, are left to it.
    """
    name = getattr(network, "architecture", network.__name__)
    for key, value in given.items():
        kind, lowest = _declared(network).get(key, (None, None))
        if kind is None or (value is None and type(None) in kind):
            continue
        if list[int] in kind:
            fits = isinstance(value, (list, tuple)) and len(value) > 0 and all(_whole(v) and v >= 1 for v in value)
            what = "a list of whole numbers of at least 1, such as [32, 32]"
        elif int in kind:
            fits = _whole(value) and (lowest is None or value >= lowest)
            what = "a whole number" + (f" of at least {lowest}" if lowest is not None else "")
        elif float in kind:
            fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            what = "a finite number"
        else:
            fits, what = isinstance(value, bool), "true or false"
        if not fits:
            raise InputError(f"The network '{name}' got {key} = {value!r}; {key} is {what}.")


def check_features(network: Any, features: Sequence[str], size: int) -> None:
    """Raise ``InputError`` unless ``network`` can read the ``features`` of a strain with ``size`` components.

    A network with ``strains > 0`` takes the strain itself first, and beside it at most the step length.
    """
    strains, named = getattr(network, "strains", 0), ", ".join(features)
    if strains and tuple(features) not in (("strain",), ("strain", "dt")):
        raise InputError(
            f"A {_name(network)} moves with the strain itself; the features ({named}) are others. Take ('strain',), or "
            "('strain', 'dt') for one that depends on the rate."
        )
    if strains and strains != size:
        raise InputError(
            f"This {_name(network)} reads its first {strains} features as strains; of the features ({named}) "
            f"{size} are. Take features=('strain',), or settings with which it depends on the rate if it has such."
        )


def _name(network: Any) -> str:
    return str(getattr(network, "architecture", type(network).__name__))


def has_setting(network: type, name: str) -> bool:
    """Whether the constructor of ``network`` knows the setting ``name``; one that takes any knows all."""
    known = inspect.signature(network.__init__).parameters  # type: ignore[misc]
    return name in known or any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


@functools.cache
def _declared(network: type) -> dict[str, tuple[tuple[Any, ...], int | None]]:
    """Return the types and, for counts, the least value of the settings that can be checked, by their names."""
    constructor = network.__init__  # type: ignore[misc]
    try:
        hints = get_type_hints(constructor)
    except (NameError, TypeError):  # a network of one's own may declare types that exist for its editor only
        return {}
    found = {}
    for key, parameter in inspect.signature(constructor).parameters.items():
        hint = hints.get(key)
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if any(kind in (int, float, bool, list[int]) for kind in kinds) and len(set(kinds) - {type(None)}) == 1:
            counts = key in NEEDED or (_whole(parameter.default) and parameter.default >= 1)
            found[key] = (tuple(kinds), 1 if counts else None)
    return found
