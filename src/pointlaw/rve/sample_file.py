"""The file ``pointlaw sample`` reads: which teacher, which paths, where to, in which units.

The schema is strict: an entry that is not known is an error with a sentence, so that a misspelt option never runs for a
night with its default.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from pointlaw.data import Settings, Units, first_fault, read_settings
from pointlaw.errors import InputError
from pointlaw.materials import Material
from pointlaw.rve.plan import Count, PathPlan, make_plan
from pointlaw.rve.teacher import Cell, Law, Python, teacher_kind


class SampleFile(Settings):
    """The whole file.

    Attributes
    ----------
    output : str
        Folder of the dataset, relative to the configuration.
    teacher : dict
        Who answers: a :class:`Law`, a :class:`Cell` (a volume element) or a :class:`Python` function.
    plan : dict
        Path plan, see :mod:`pointlaw.rve.plan`.
    units : Units, optional
        Names of the units; those of the teacher if it has some.
    batch, tangent, energy, max_cuts
        As in :func:`pointlaw.rve.sample.sample`.
    """

    output: str
    teacher: dict[str, Any]
    plan: dict[str, Any]
    units: Units | None = None
    batch: Count | None = None
    tangent: bool = False
    energy: bool | None = None
    max_cuts: Count = 8


def read_sample_file(path: str | Path) -> tuple[SampleFile, PathPlan, Callable[[], Material]]:
    """Return the contents of a configuration, its plan, and a function that makes its teacher.

    Raises ``InputError`` with a sentence that names the file and the first entry that is wrong.
    """
    path = Path(path)
    file = read_settings(path, SampleFile)
    try:
        teacher = teacher_kind(file.teacher).model_validate(file.teacher)
        plan = make_plan(file.plan)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return file, plan, functools.partial(_make, teacher, path)


def _make(teacher: Law | Cell | Python, path: Path) -> Material:
    try:
        return teacher.make(path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
