"""Make a dataset: ask a law along strain paths and write down what it is, and what it said."""

import logging
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from pointlaw import __version__
from pointlaw.data.card import DatasetCard, Units
from pointlaw.data.dataset import Dataset
from pointlaw.data.respond import respond
from pointlaw.errors import InputError, NoPathLeft
from pointlaw.materials import Material, PointStatus
from pointlaw.paths import StrainPath

log = logging.getLogger(__name__)


def sample(
    material: Material,
    path: StrainPath,
    *,
    tangent: bool = True,
    teacher: str = "",
    parameters: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    seeds: Sequence[int] = (),
    units: Units | None = None,
) -> Dataset:
    """Return the answers of ``material`` along the ``n`` strain paths of ``path``.

    Parameters
    ----------
    material : Material
        The teacher.
    path : StrainPath
        Times ``[t]`` and strains ``[n, t, m]`` of its kinematics; row 0 is the virgin material.
    tangent : bool
        Whether to keep the consistent tangents, ``m²`` numbers a step.
    teacher, parameters, plan, seeds, units
        Recorded on the card; ``teacher`` is the name of the class unless given, ``units`` are those of the law if
        it has any (learned laws, and wrappers of them).

    Notes
    -----
    A path on which the law fails is left out and logged. Raises ``InputError`` when the kinematics differ, and
    ``NoPathLeft`` when every path fails.
    """
    if path.kinematics != material.kinematics:
        raise InputError(f"The paths are {path.kinematics}; the law takes {material.kinematics}.")
    answers = respond(material, path.times, path.strain, tangent=tangent)
    good = np.flatnonzero((answers.status != PointStatus.FAILED).all(axis=1))
    if len(good) == 0:
        raise NoPathLeft(f"{type(material).__name__} fails on all {len(path)} paths; take smaller strains or steps.")
    if len(good) < len(path):
        lost = sorted(set(range(len(path))) - set(good.tolist()))
        log.warning(
            "The teacher fails on %d of %d paths (first: path %d); they are left out.", len(lost), len(path), lost[0]
        )
    rest = material.update(
        material.kinematics.reference[None], material.initial_state(1), float(np.diff(path.times)[0])
    )
    card = DatasetCard(
        kinematics=material.kinematics.name,
        units=units or material.units or Units(),
        teacher=teacher or type(material).__name__,
        parameters=parameters or {},
        plan=plan or {},
        seeds=list(seeds),
        stiffness=None if rest.tangent is None else rest.tangent[0].tolist(),
        versions={"pointlaw": __version__, "numpy": np.__version__, "python": platform.python_version()},
    )
    return Dataset(
        time=path.times,
        strain=path.strain[good],
        stress=answers.stress[good],
        tangent=None if answers.tangent is None else answers.tangent[good],
        card=card,
    )
