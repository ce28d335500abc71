"""How far a point is from what training covered, in the space of strain and law state.

A box of strains says nothing about its empty corners, and nothing about the history that led to a strain. A
:class:`Density` puts the training points, strain and law state together, into a few principal axes, covers them with
balls (k-means centres, each with the radius that reaches its members), and measures a new point by its distance from
the nearest centre in radii. Balls are small where training was dense. Kept-back paths calibrate what counts as the
edge, and the share of their points that lies beyond it is written down.
"""

import logging
from dataclasses import dataclass, fields

import numpy as np

from pointlaw.data import Dataset, check_units
from pointlaw.errors import InputError
from pointlaw.laws.replay import replay
from pointlaw.materials import Material
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

LARGEST = 1e6  # grades are cut here, so that they stay numbers
MOST_POINTS = 20_000  # training points that k-means sees
BLOCK = 512  # points that are graded at a time


@dataclass(frozen=True, eq=False)
class Density:
    """Grade of extrapolation: 0 at a centre of the training points, 1 at the edge of what they cover, more outside.

    Attributes
    ----------
    shift : [m + s]
        Mean of strain and state over the training points.
    axes : [m + s, q]
        Principal axes, each column divided by the scales of strain and state.
    rest : [m + s]
        Reciprocal scales of strain and state, for what the axes leave out.
    centres : [k, q + 1]
        Centres; the last coordinate is the distance from the axes.
    radii : [k]
        Radius of each ball, calibrated: the grade is the smallest distance from a centre over its radius.
    step : [1]
        Norm of the longest strain increment of the training; ``inf`` for laws that take any step alike.

    Notes
    -----
    Every array is float64 and is stored beside the weights, so that a saved density grades exactly alike. Raises
    ``InputError`` for arrays that do not fit each other, or hold what is no number.
    """

    shift: Array
    axes: Array
    rest: Array
    centres: Array
    radii: Array
    step: Array

    def __post_init__(self) -> None:
        n, k = self.shift.size, self.radii.size
        q = self.axes.shape[-1] if self.axes.ndim else 0
        due = {"shift": (n,), "axes": (n, q), "rest": (n,), "centres": (k, q + 1), "radii": (k,), "step": (1,)}
        for name, array in self.arrays.items():
            if array.shape != due[name]:
                raise InputError(f"The density's '{name}' has the shape {list(array.shape)}, not {list(due[name])}.")
            if np.isnan(array).any() or (name != "step" and not np.isfinite(array).all()):
                raise InputError(f"The density's '{name}' holds a value that is not finite.")
        if not self.radii.all():
            raise InputError("A density needs training paths that move; these stay at one point.")

    def __call__(self, strain: Array, increment: Array, state: Array) -> Array:
        """Return the grade ``[p]`` of points that went by ``increment[p, m]`` to ``strain[p, m]`` and ``state[p, s]``.

        A point that is not finite has the largest grade.
        """
        grade = np.empty(len(strain))
        with np.errstate(all="ignore"):
            for first in range(0, len(strain), BLOCK):
                rows = slice(first, first + BLOCK)
                near = self._nearest(np.concatenate([strain[rows], state[rows]], axis=1))
                grade[rows] = np.maximum(near, np.linalg.norm(increment[rows], axis=1) / self.step)
        return np.fmin(grade, LARGEST)

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays by name, for the law file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def nbytes(self) -> int:
        """Size of all arrays, bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    @classmethod
    def fit(
        cls,
        law: Material,
        training: Dataset,
        kept_back: Dataset,
        *,
        beyond: float = 0.01,
        centres: int | None = None,
        axes: int = 10,
        steps: bool = True,
        seed: int = 0,
    ) -> "Density":
        """Return the density of the points that ``law`` passes along ``training``.

        Parameters
        ----------
        law : Material
            Gives the states; they enter with the same weight as the strains.
        training, kept_back : Dataset
            Paths that are covered, and paths that say where the edge is.
        beyond : float
            Share of the kept-back points that may have a grade above 1, in the worst quarter of the paths (points of
            one path resemble each other, so one quantile over all would promise too much). Training points never have.
        centres : int, optional
            Balls at most; half as many as there are training paths, from 32 to 256, if omitted. Many small balls
            around few paths leave gaps, which the calibration then pays for with a wider edge.
        axes : int
            Principal axes at most; fewer if they hold 99.9 % of the variance.
        steps : bool
            Whether a step longer than any of the training counts as outside; ``False`` for step-consistent laws.
        seed : int
            Of the choice of points and centres.

        Notes
        -----
        Raises ``InputError`` when the datasets do not fit the law.
        """
        for data in (training, kept_back):
            if data.kinematics != law.kinematics:
                raise InputError(f"The law takes {law.kinematics}; these paths are {data.kinematics}.")
            check_units(law, data, "the law", "these paths")
        centres = min(256, max(32, training.paths // 2)) if centres is None else centres
        if not 0.0 <= beyond < 1.0 or centres < 1 or axes < 1:
            raise InputError(f"A density needs 0 ≤ beyond < 1, centres and axes ≥ 1; got {beyond}, {centres}, {axes}.")
        rng = np.random.default_rng(seed)
        points = _points(law, training)
        shift, principal, rest = _axes(points, law.kinematics.size, axes)
        longest = float(np.linalg.norm(np.diff(training.strain, axis=1), axis=2).max()) if steps else np.inf
        nowhere = np.zeros((1, principal.shape[1] + 1))
        rough = cls(shift, principal, rest, nowhere, np.ones(1), np.array([longest * (1 + 1e-9)]))
        placed = rough._place(points)
        middle = _k_means(placed[rng.permutation(len(placed))[:MOST_POINTS]], centres, rng)
        distance, nearest = _nearest_centre(placed, middle)
        radii = np.zeros(len(middle))
        np.maximum.at(radii, nearest, distance)
        # A ball of few members says little about its neighbourhood: it is at least as large as most balls are.
        radii = np.maximum(radii, np.quantile(radii, 0.1)) + 1e-12 * float(np.abs(placed).max())
        raw = cls(shift, principal, rest, middle, radii, np.array([np.inf]))
        quarters = [kept_back.subset(slice(k, None, 4)) for k in range(min(4, kept_back.paths))]
        edge = max(float(np.quantile(raw._nearest(_points(law, part)), 1.0 - beyond)) for part in quarters)
        return cls(shift, principal, rest, middle, radii * max(edge, 1.0) * (1 + 1e-9), rough.step)

    def _nearest(self, points: Array) -> Array:
        """Return the smallest distance from a centre in radii, ``[p]``, of ``points[p, m + s]``."""
        placed = self._place(points)
        # |z − c|²/r² as one product for all centres finds the nearest; its distance is then taken without cancellation.
        inverse = 1.0 / self.radii**2
        weights = np.vstack(
            [-2.0 * inverse * self.centres.T, inverse, inverse * np.einsum("kq,kq->k", self.centres, self.centres)]
        )
        square = np.einsum("pq,pq->p", placed, placed)
        nearest = np.argmin(np.column_stack([placed, square, np.ones(len(placed))]) @ weights, axis=1)
        return np.linalg.norm(placed - self.centres[nearest], axis=1) / self.radii[nearest]

    def _place(self, points: Array) -> Array:
        """Return ``[p, q + 1]``: coordinates along the axes and the distance from them."""
        centred = points - self.shift
        along = centred @ self.axes
        off = centred * self.rest - along @ (self.axes / self.rest[:, None]).T
        return np.column_stack([along, np.linalg.norm(off, axis=1)])


def grades_along(law: Material, dataset: Dataset, density: Density) -> Array:
    """Return the grades ``[n, t − 1]`` that ``law`` has along the paths of ``dataset``; the largest once it failed."""
    increments = np.diff(dataset.strain, axis=1)
    grades = np.full(increments.shape[:2], LARGEST)
    for k, (rows, state) in enumerate(replay(law, dataset.time, dataset.strain)):
        grades[rows, k] = density(dataset.strain[rows, k + 1], increments[rows, k], state[rows])
    return grades


def _points(law: Material, dataset: Dataset) -> Array:
    """Return strain and state of the points of the paths that ``law`` reaches, the virgin one too, ``[p, m + s]``."""
    virgin = np.concatenate([law.kinematics.reference[None], law.initial_state(1)], axis=1)
    steps = enumerate(replay(law, dataset.time, dataset.strain))
    moved = [np.concatenate([dataset.strain[rows, k + 1], state[rows]], axis=1) for k, (rows, state) in steps]
    points = np.concatenate([virgin, *moved])
    return points[np.isfinite(points).all(axis=1)]


def _axes(points: Array, m: int, most: int) -> tuple[Array, Array, Array]:
    """Return mean, scaled principal axes ``[m + s, q]`` and reciprocal scales ``[m + s]``."""
    shift, spread = points.mean(axis=0), points.std(axis=0)
    # The strain components share one scale, so do the state variables: a variable that hardly moves says little.
    scale = np.empty_like(spread)
    scale[:m] = np.sqrt(np.sum(spread[:m] ** 2)) or 1.0
    scale[m:] = np.sqrt(np.sum(spread[m:] ** 2)) or 1.0
    rest = 1.0 / scale
    variance, vectors = np.linalg.eigh(np.cov(((points - shift) * rest).T).reshape(len(rest), len(rest)))
    variance, vectors = np.maximum(variance[::-1], 0.0), vectors[:, ::-1]
    share = np.cumsum(variance) / max(float(variance.sum()), 1e-300)
    q = min(most, int(np.searchsorted(share, 0.999)) + 1, len(rest))
    return shift, rest[:, None] * vectors[:, :q], rest


def _k_means(points: Array, count: int, rng: np.random.Generator, *, rounds: int = 12) -> Array:
    """Return at most ``count`` centres ``[k, q]``; the first ones are far from each other (k-means++).

    Arthur & Vassilvitskii 2007, Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027.
    """
    centres = points[rng.integers(len(points))][None]
    distance = np.linalg.norm(points - centres, axis=1)
    while len(centres) < count and distance.max() > 0.0:
        square = distance**2
        chosen = points[rng.choice(len(points), p=square / square.sum())]
        centres = np.concatenate([centres, chosen[None]])
        distance = np.minimum(distance, np.linalg.norm(points - chosen, axis=1))
    for _ in range(rounds):
        _, nearest = _nearest_centre(points, centres)
        members = np.bincount(nearest, minlength=len(centres))
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, points)
        centres = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centres)
    return centres


def _nearest_centre(points: Array, centres: Array) -> tuple[Array, np.ndarray]:
    """Return the distance ``[p]`` from the nearest centre and its number."""
    distance, nearest = np.empty(len(points)), np.empty(len(points), dtype=np.intp)
    half = 0.5 * np.einsum("kq,kq->k", centres, centres)
    for first in range(0, len(points), BLOCK):
        part = points[first : first + BLOCK]
        found = np.argmin(half - part @ centres.T, axis=1)
        nearest[first : first + BLOCK] = found
        distance[first : first + BLOCK] = np.linalg.norm(part - centres[found], axis=1)
    return distance, nearest
