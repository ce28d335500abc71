"""What the commands mean by LAW: the name of a formula, or a law file."""

from pathlib import Path

from pointlaw.errors import InputError
from pointlaw.materials import MATERIALS, Material

LAW_HELP = "A formula by its name (an unknown name lists them all), or a law file."


def open_law(law: str) -> Material:
    """Return the material that ``law`` names.

    Raises ``InputError`` if it is neither a formula nor a file, ``LawFileError`` if the file is damaged.
    """
    if law in MATERIALS:
        return MATERIALS[law]()
    if not Path(law).is_file():
        raise InputError(f"There is no law '{law}': it is not a file, and the formulas are {', '.join(MATERIALS)}.")
    from pointlaw.laws import load_law

    return load_law(law)


def open_teacher(teacher: str) -> Material:
    """Return the material that ``teacher`` names: a LAW, or the teacher of a sampling file (``.toml``)."""
    if Path(teacher).suffix != ".toml":
        return open_law(teacher)
    from pointlaw.rve.sample_file import read_sample_file

    return read_sample_file(teacher)[2]()
