"""Several learned laws as one: their mean answers, their spread says how little they know.

Networks that were trained from different first weights agree where there were data and part where there were none
(deep ensembles, Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474). The spread of their stresses is carried
in the state, is a grade for the guard once kept-back paths have said what spread is usual, and is compared with the
true error there: the rank correlation is a figure, not a promise.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from pointlaw.data import Dataset, check_units, respond, write_bytes
from pointlaw.errors import InputError, LawFileError
from pointlaw.laws.file import load_law, save_law, seal_of
from pointlaw.laws.learned import LearnedMaterial
from pointlaw.laws.replay import replay
from pointlaw.materials import Material, Response, StateLayout
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

FORMAT = "pointlaw-ensemble"
MANIFEST = "ensemble.json"
SPREAD = "spread"


class Calibration(pydantic.BaseModel):
    """What kept-back paths say about the spread.

    Attributes
    ----------
    usual : float
        Spread that the share ``beyond`` of the kept-back points exceeds: grade 1.
    beyond : float
        That share.
    rank_correlation : float
        Spearman's rank correlation of spread and true error of the mean stress over these points; 1 is perfect.
    coverage : float
        Share of the points whose error is at most twice the spread.
    error : float
        Root mean square of the error of the mean stress over ``scale``.
    member_error : float
        The same of the members, averaged: what one law alone would have had.
    points : int
        Number of points; those where a law failed are not among them.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    usual: pydantic.PositiveFloat
    beyond: float
    rank_correlation: float
    coverage: float
    error: pydantic.NonNegativeFloat
    member_error: pydantic.NonNegativeFloat
    points: pydantic.PositiveInt


class Ensemble(Material):
    """The mean of several laws, with their spread in the state.

    Parameters
    ----------
    laws : sequence of LearnedMaterial
        Two or more laws of the same kinematics and units.
    scale : float, optional
        Stress that the spread is measured in; the root mean square of the training stresses of the first law (norm
        over the components) if omitted, unit of stress.
    calibration : Calibration, optional
        From :func:`calibrated`; without it the spread itself is the grade.

    Notes
    -----
    State: ``law_0``, ``law_1``, … (each the state of a member), then ``spread``, the standard deviation of the
    members' stresses (norm over the components) over ``scale``. It costs as much as its members together. The tangent
    is the mean of theirs and therefore exact.
    """

    def __init__(
        self,
        laws: "list[LearnedMaterial] | tuple[LearnedMaterial, ...]",
        *,
        scale: float | None = None,
        calibration: Calibration | None = None,
    ):
        if len(laws) < 2:
            raise InputError(f"An ensemble needs two laws or more; got {len(laws)}.")
        if len({law.kinematics for law in laws}) > 1:
            raise InputError(
                f"The laws of an ensemble share their kinematics; got {[w.kinematics.name for w in laws]}."
            )
        self.laws, self.calibration = tuple(laws), calibration
        for number, law in enumerate(laws[1:], start=1):
            check_units(laws[0], law, "the first law of the ensemble", f"law {number}")
        self.kinematics, self.units = laws[0].kinematics, laws[0].units
        self.scale = float(np.linalg.norm(laws[0].card.scaling.stress)) if scale is None else scale
        if not 0 < self.scale < np.inf:
            raise InputError(f"Ensemble: scale = {self.scale} must be > 0 and finite.")
        sizes = {f"law_{k}": law.state_layout.size for k, law in enumerate(laws)}
        self.state_layout = StateLayout(sizes | {SPREAD: 1})

    def initial_state(self, points: int) -> Array:
        """Return the members' virgin states side by side; virgin points have no spread."""
        return np.concatenate([*(law.initial_state(points) for law in self.laws), np.zeros((points, 1))], axis=1)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer with the mean of the members; see :meth:`Material.update`."""
        new = np.empty(state.shape)
        answers = []
        for k, law in enumerate(self.laws):
            part = self.state_layout[f"law_{k}"]
            answers.append(law.update(strain, np.ascontiguousarray(state[:, part]), dt, tangent=tangent))
            new[:, part] = answers[-1].state
        first, count = answers[0], len(answers)
        with np.errstate(all="ignore"):  # absurd input fails, it does not warn
            # Deviations from the first member: members that are the same have no spread at all, not even round-off.
            gaps = np.stack([answer.stress - first.stress for answer in answers])
            mean = gaps.sum(axis=0) / count
            variance = np.square(gaps - mean).sum(axis=(0, 2)) / (count - 1)
            new[:, -1] = np.sqrt(variance) / self.scale
            moduli = None
            if first.tangent is not None:
                moduli = first.tangent + sum(np.asarray(a.tangent) - first.tangent for a in answers[1:]) / count
            status = np.min([np.asarray(answer.status) for answer in answers], axis=0)
            factor = min(answer.dt_factor for answer in answers)
            return Response(first.stress + mean, moduli, new, status, factor)

    def spread(self, state: Array) -> Array:
        """Return the spread ``[p]`` of the step that led to ``state[p, s]``, over the stress scale."""
        return state[:, self.state_layout[SPREAD]][:, 0].copy()

    def grade(self, strain: Array, increment: Array, state: Array) -> Array:
        """Return the spread over the usual one ``[p]``: the grade for :class:`~pointlaw.laws.guard.Guarded`."""
        return self.spread(state) / (self.calibration.usual if self.calibration else 1.0)

    def __repr__(self) -> str:
        return f"Ensemble({len(self.laws)} × '{self.laws[0].card.name}', {self.kinematics})"


@dataclass(frozen=True)
class Spreads:
    """Spread and errors ``[n, t − 1]`` along paths, both over the ensemble's scale; ``members`` ``[k, n, t − 1]``.

    The spread is not a number from the step on in which a law of the ensemble fails.
    """

    spread: Array
    error: Array
    members: Array


def spreads_along(ensemble: Ensemble, dataset: Dataset) -> Spreads:
    """Return what the ensemble says about itself along the paths of ``dataset``, and what is true.

    Raises ``InputError`` when kinematics or units differ.
    """
    if dataset.kinematics != ensemble.kinematics:
        raise InputError(f"The ensemble takes {ensemble.kinematics}; the paths are {dataset.kinematics}.")
    check_units(ensemble, dataset, "the ensemble", "the paths")
    true = dataset.stress[:, 1:]

    def error(law: Material) -> Array:
        answers = respond(law, dataset.time, dataset.strain).stress[:, 1:]
        return np.linalg.norm(answers - true, axis=2) / ensemble.scale

    spread = np.full(true.shape[:2], np.nan)
    for k, (rows, state) in enumerate(replay(ensemble, dataset.time, dataset.strain)):
        spread[rows, k] = ensemble.spread(state[rows])
    return Spreads(spread, error(ensemble), np.stack([error(law) for law in ensemble.laws]))


def calibrated(ensemble: Ensemble, kept_back: Dataset, *, beyond: float = 0.01) -> Ensemble:
    """Return the ensemble with the spread that is usual on ``kept_back``, and the figures of its honesty.

    What follows on a path once a law of the ensemble has failed, or answers with numbers that are not finite, is left
    out, and the number of points is logged; raises ``InputError`` when there are no others.
    """
    along = spreads_along(ensemble, kept_back)
    answered = np.isfinite(along.spread) & np.isfinite(along.error) & np.isfinite(along.members).all(axis=0)
    spread, error, members = along.spread[answered], along.error[answered], along.members[:, answered]
    if not len(spread):
        raise InputError(
            f"A law of the ensemble fails at each of the {answered.size} kept-back points; leave out the law that "
            "fails, or calibrate on smaller strains."
        )
    if missing := answered.size - len(spread):
        log.warning("A law of the ensemble fails at %d of %d kept-back points; left out.", missing, answered.size)
    calibration = Calibration(
        usual=max(float(np.quantile(spread, 1.0 - beyond)), 1e-12),
        beyond=beyond,
        rank_correlation=rank_correlation(spread, error),
        coverage=float(np.mean(error <= 2.0 * spread)),
        error=float(np.sqrt(np.mean(error**2))),
        member_error=float(np.sqrt(np.mean(members**2, axis=1)).mean()),
        points=len(spread),
    )
    return Ensemble(ensemble.laws, scale=ensemble.scale, calibration=calibration)


def rank_correlation(one: Array, two: Array) -> float:
    """Return Spearman's rank correlation of two samples ``[n]``; 0 where one of them does not vary.

    Spearman 1904, doi:10.2307/1412159. Equal values share their mean rank.
    """

    def ranks(values: Array) -> Array:
        _, group, members = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(members)
        rank = (last - 0.5 * (members - 1))[group]
        return np.asarray(rank - rank.mean())

    a, b = ranks(one), ranks(two)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0.0 else 0.0


def save_ensemble(folder: str | Path, ensemble: Ensemble) -> None:
    """Write one law file a member and a manifest with their seals into ``folder``."""
    folder = Path(folder)
    members = []
    for k, law in enumerate(ensemble.laws):
        name = f"law_{k}.safetensors"
        members.append({"file": name, "seal": save_law(folder / name, law)})
    calibration = ensemble.calibration.model_dump() if ensemble.calibration else None
    content = {"format": FORMAT, "version": 1, "scale": ensemble.scale, "calibration": calibration, "members": members}
    write_bytes(folder / MANIFEST, json.dumps(content, indent=2, allow_nan=False).encode())


def load_ensemble(folder: str | Path) -> Ensemble:
    """Read what :func:`save_ensemble` wrote.

    Raises ``LawFileError`` when the manifest or a member is missing or damaged, or a member is another file than the
    one that was saved.
    """
    folder = Path(folder)
    manifest = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != 1:
            raise LawFileError(f"{manifest} is not a {FORMAT} manifest of version 1.")
        members = [(str(member["file"]), str(member["seal"])) for member in content["members"]]
        scale = float(content["scale"])
        calibration = Calibration.model_validate(content["calibration"]) if content["calibration"] else None
    except FileNotFoundError:
        raise LawFileError(f"There is no ensemble in {folder}: {MANIFEST} is missing.") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("calibration", *first["loc"])))
        raise LawFileError(f"{manifest} cannot be used: {where}: {first['msg']}.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LawFileError(f"{manifest} cannot be used: {error}") from error
    laws = []
    for name, seal in members:
        path = folder / name
        if Path(name).name != name:
            raise LawFileError(f"{manifest} names the file '{name}'; members lie beside the manifest.")
        if (found := seal_of(path)) != seal:
            raise LawFileError(f"{path} has the seal {found[:12]}…, the manifest says {seal[:12]}…; it was replaced.")
        laws.append(load_law(path))
    try:
        return Ensemble(laws, scale=scale, calibration=calibration)
    except InputError as error:
        raise LawFileError(f"{manifest}: {error}") from error
