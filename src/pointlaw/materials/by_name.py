"""Things made from plain data: a class or function by its name, its arguments by theirs.

Configurations and law files name laws, microstructures and functions of the user's; a name or an argument that does
not exist is a sentence, and what the thing itself has against its arguments stays as it is.
"""

import importlib.util
import inspect
import sys
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pointlaw.errors import InputError


def concrete_classes(room: Any, kind: type[ABC]) -> dict[str, Any]:
    """Return the classes of the module ``room`` that are of this kind and not abstract, by name."""
    classes = {name: found for name, found in vars(room).items() if inspect.isclass(found) and issubclass(found, kind)}
    return {name: found for name, found in classes.items() if not inspect.isabstract(found)}


def named[T](what: str, name: str, known: Mapping[str, T], *, advice: str = "") -> T:
    """Return ``known[name]``; raises ``InputError``, which ends with ``advice``, if there is none."""
    if name not in known:
        raise InputError(f"there is no {what} '{name}'; known are {', '.join(sorted(known))}.{advice}")
    return known[name]


def call[T](name: str, maker: Callable[..., T], parameters: Mapping[str, Any], *, before: Sequence[Any] = ()) -> T:
    """Return ``maker(*before, **parameters)``, also where arguments are positional only.

    Raises ``InputError`` if it does not take these parameters.
    """
    signature, values = inspect.signature(maker), dict(parameters)
    unnamed = [key for key, how in signature.parameters.items() if how.kind is how.POSITIONAL_ONLY and key in values]
    try:
        bound = signature.bind(*before, *(values.pop(key) for key in unnamed), **values)
    except TypeError as error:
        raise InputError(f"{name} does not take these parameters: {error}.") from error
    return maker(*bound.args, **bound.kwargs)


def function_in_file(entry: str, place: str, folder: Path, *, module: str) -> Callable[..., Any]:
    """Return the function ``file.py:function``, the file relative to ``folder``; its code is run as ``module``.

    ``entry`` is the entry of the configuration that names ``place``. Raises ``InputError`` when file or function do not
    exist.
    """
    name, _, function = place.rpartition(":")
    if not name.endswith(".py") or not function:
        raise InputError(f"{entry} = '{place}' must look like 'file.py:function'.")
    file = folder / name
    if not file.is_file():
        raise InputError(f"there is no file {file}, which {entry} = '{place}' names.")
    spec = importlib.util.spec_from_file_location(f"{module}_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} cannot be loaded as a Python file.")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    # Compiled here and not by the loader: Python's cache tells files by size and second, and would run the old text of
    # one that was just written anew.
    exec(compile(file.read_bytes(), str(file), "exec"), loaded.__dict__)
    found = getattr(loaded, function, None)
    if not callable(found):
        raise InputError(f"{file} has no function '{function}'.")
    wanted: Callable[..., Any] = found
    return wanted
