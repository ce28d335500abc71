"""The card of a dataset: what the numbers are, in which units, and where they come from.

A card is plain JSON, checked by pydantic when it is read. It names the kinematics, the units, the teacher with its
parameters, the plan of the paths and the seeds, so that the same command makes the same data again.
"""

from typing import Any

import pydantic

from pointlaw.data.settings_file import Settings
from pointlaw.errors import InputError
from pointlaw.tensors import KINEMATICS, Kinematics


class Units(Settings):
    """Names of the user's consistent units; they are recorded, never converted."""

    stress: str = "MPa"
    strain: str = "1"
    time: str = "s"

    def __str__(self) -> str:
        return f"stress {self.stress}, strain {self.strain}, time {self.time}"


def check_units(one: object, other: object, name: str, other_name: str) -> None:
    """Raise ``InputError`` when datasets, learned laws or cards differ in their ``units``.

    A formula has none and goes with all: its parameters are in the units of whoever chose them.
    """
    mine, theirs = getattr(one, "units", None), getattr(other, "units", None)
    if isinstance(mine, Units) and isinstance(theirs, Units) and mine != theirs:
        raise InputError(
            f"The units of {name} are ({mine}), those of {other_name} ({theirs}); convert the numbers of one of them "
            "to the units of the other, and write these on its card."
        )


class DatasetCard(pydantic.BaseModel):
    """Where a dataset comes from.

    Attributes
    ----------
    kinematics : str
        Name in ``KINEMATICS``; fixes the order and number ``m`` of the components.
    units : Units
        Units of stress, strain and time.
    teacher : str
        The law or RVE that answered, in words.
    parameters : dict
        Its parameters, and whatever else makes the data again (mesh, phases, constraint).
    plan : dict
        How the paths were drawn.
    seeds : list of int
        Seeds of the paths.
    stiffness : [m][m], optional
        Teacher's tangent at rest, unit of stress.
    versions : dict
        Versions of the software that made the data.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kinematics: str
    units: Units = Units()
    teacher: str = ""
    parameters: dict[str, Any] = {}
    plan: dict[str, Any] = {}
    seeds: list[int] = []
    stiffness: list[list[float]] | None = None
    versions: dict[str, str] = {}

    @pydantic.field_validator("kinematics")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in KINEMATICS:
            raise ValueError(f"kinematics '{name}' is unknown; known are {', '.join(KINEMATICS)}")
        return name

    @property
    def measure(self) -> Kinematics:
        """The kinematics themselves."""
        return KINEMATICS[self.kinematics]
