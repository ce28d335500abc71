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
