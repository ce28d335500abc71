"""The file ``pointlaw sample`` reads: which teacher, which paths, where to, in which units.

The schema is strict: an entry that is not known is an error with a sentence, so that a misspelt option never runs for a
night with its default. The teacher is a law by its class and parameters, or whatever a function in a Python file of the
user's returns, such as a volume element.
"""

import importlib.util
import inspect
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pydantic

from pointlaw import materials
from pointlaw.data import Units
from pointlaw.errors import InputError
from pointlaw.materials import Material
from pointlaw.rve.plan import Count, PathPlan, first_fault, make_plan

_Strict = pydantic.ConfigDict(extra="forbid", frozen=True)


class Teacher(pydantic.BaseModel):
    """Who answers.

    Attributes
    ----------
    law : str, optional
        A class of ``pointlaw.materials``, such as ``"J2"``.
    parameters : dict
        Its parameters.
    reduce : str, optional
        A reduction around it: ``"PlaneStrain"``, ``"PlaneStress"``, ``"Axisymmetric"`` or ``"Uniaxial"``.
    python : str, optional
        Instead of a law: ``"file.py:function"``, a function without arguments (or with ``parameters`` as keywords)
        that returns a material. The file's path is relative to the configuration. Its code is run.
    """

    model_config = _Strict

    law: str | None = None
    parameters: dict[str, Any] = {}
    reduce: Literal["PlaneStrain", "PlaneStress", "Axisymmetric", "Uniaxial"] | None = None
    python: str | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> "Teacher":
        if (self.law is None) == (self.python is None):
            raise ValueError("the teacher is given by either law or python")
        return self


class SampleFile(pydantic.BaseModel):
    """The whole file.

    Attributes
    ----------
    output : str
        Folder of the dataset, relative to the configuration.
    teacher : Teacher
        Who answers.
    plan : dict
        Path plan, see :mod:`pointlaw.rve.plan`.
    units : Units
        Names of the units.
    batch, tangent, max_cuts
        As in :func:`pointlaw.rve.sample.sample`.
    """

    model_config = _Strict

    output: str
    teacher: Teacher
    plan: dict[str, Any]
    units: Units = Units()
    batch: Count = 1
    tangent: bool = False
    max_cuts: Count = 8


def read_sample_file(path: str | Path) -> tuple[SampleFile, PathPlan, Callable[[], Material]]:
    """Return the contents of a configuration, its plan, and a function that makes its teacher.

    Raises ``InputError`` with a sentence that names the file and the first entry that is wrong.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from error
    try:
        file = SampleFile(**values)
        plan = make_plan(file.plan)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return file, plan, lambda: _teacher(file.teacher, path)


def _teacher(teacher: Teacher, path: Path) -> Material:
    if teacher.python is not None:
        made = _called(f"{path}: {teacher.python}", _function(teacher.python, path), teacher.parameters)
    else:
        known = {
            name: kind
            for name, kind in vars(materials).items()
            if inspect.isclass(kind) and issubclass(kind, Material) and not inspect.isabstract(kind)
        }
        if teacher.law not in known:
            raise InputError(f"{path}: there is no law '{teacher.law}'; known are {', '.join(sorted(known))}.")
        made = _called(f"{path}: {teacher.law}", known[teacher.law], teacher.parameters)
    if not isinstance(made, Material):
        raise InputError(f"{path}: {teacher.python} returned a {type(made).__name__}; it must return a Material.")
    return getattr(materials, teacher.reduce)(made) if teacher.reduce else made


def _called(name: str, function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Call ``function``; wrong names of parameters become a sentence, errors inside it stay what they are."""
    try:
        inspect.signature(function).bind(**parameters)
    except TypeError as error:
        raise InputError(f"{name} does not take these parameters: {error}.") from error
    return function(**parameters)


def _function(place: str, path: Path) -> Callable[..., Any]:
    """Return the function ``file.py:function``, the file relative to the configuration."""
    name, _, function = place.rpartition(":")
    file = path.parent / name
    if not name.endswith(".py") or not function:
        raise InputError(f"{path}: python = '{place}' must look like 'file.py:function'.")
    if not file.is_file():
        raise InputError(f"{path}: there is no file {file}, which python = '{place}' names.")
    spec = importlib.util.spec_from_file_location(f"pointlaw_teacher_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: {file} cannot be loaded as a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{path}: {file} has no function '{function}'.")
    return found
