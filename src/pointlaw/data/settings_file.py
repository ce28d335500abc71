"""Settings, in Python or in a TOML file: what is wrong with them becomes one sentence that names the entry.

Every schema of settings derives from :class:`Settings`. Cards and scales do not: they are records, and who reads their
file says what is wrong with it.
"""

import tomllib
from pathlib import Path
from typing import Any

import pydantic

from pointlaw.errors import InputError


class Settings(pydantic.BaseModel):
    """Settings that a user writes: strict, never changed, and an ``InputError`` when an entry cannot be used."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise InputError(f"{type(self).__name__}: {first_fault(error)}") from error

    # As pydantic marks its own: settings within settings are validated in place, and a fault keeps its whole name.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of the TOML file ``path``.

    Raises ``InputError`` when it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from error


def read_settings[S: Settings](path: str | Path, schema: type[S]) -> S:
    """Return the contents of the TOML file ``path`` as a ``schema``.

    Raises ``InputError`` with a sentence that names the file and the first entry that is wrong.
    """
    path = Path(path)
    values = read_toml(path)
    try:
        return schema.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def first_fault(error: pydantic.ValidationError) -> str:
    """Return the first fault that pydantic found as one sentence."""
    # A misspelt entry is both unknown and missing; the first of the two tells more.
    fault = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"'{place}' is not a known entry; check the spelling."
    if fault["type"] == "missing":
        return f"'{place}' is missing."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place + ' = ' + repr(fault['input']) + ': ' if place else ''}{message}."
