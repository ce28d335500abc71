"""Why a learned law answers what it answers: what its stress owes to past increments, inputs and memory.

Three views of one law. The *sensitivity* of the final stress to every past strain increment, exact by automatic
differentiation through the scan, beside that of the teacher, by differences: a solid that yields forgets, an elastic
one does not. *Shapley values* (Captum) share the final stress out among strain components and parts of the history.
And a linear map from the network's memory to the teacher's internal variables, which says how much of the plastic
strain the network has found by itself.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pointlaw.data import Dataset, FeatureMap, check_units, feature_map, respond
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.laws.audit.accuracy import relative_errors
from pointlaw.laws.learned import OLD_STRAIN, LearnedMaterial
from pointlaw.laws.replay import replay
from pointlaw.materials import Material
from pointlaw.networks import Network
from pointlaw.tensors import Array, Kinematics

TEACHER_PATHS = 6  # for its memory: each costs 2·m·t paths
LARGEST_STATE = 100  # a teacher with more internal variables is a volume element: too dear, and too many to name
SHARED = 0.05  # a teacher whose stress differs by more from the data's is another law


@dataclass(frozen=True, eq=False)
class Shapley:
    """Shapley values of the final stress, taken along its own direction, of ``n`` paths.

    Attributes
    ----------
    values : [n, parts, m]
        Share of each strain component in each part of the history, unit of stress.
    total : [n]
        Final stress less the stress of a path that stayed at the start, along the direction of the final stress: what
        the values of a path sum to.
    ends : [parts + 1]
        Steps between which the parts lie.
    """

    values: Array
    total: Array
    ends: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Recovered:
    """How well a linear map of the network's state gives an internal variable of the teacher.

    Attributes
    ----------
    name : str
        The teacher's variable.
    r2, r2_strain, r2_both : float
        Share of its variance that is explained, on paths not used for the map: by the network's state, by the strain
        alone, and by both.
    true, found : [points]
        The values on these paths, and those found from both (all components of the variable, one after another).
    """

    name: str
    r2: float
    r2_strain: float
    r2_both: float
    true: Array
    found: Array


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found out about a law.

    Attributes
    ----------
    memory : [n, t − 1]
        ‖∂σ_T/∂Δε_k‖ of each path over its last, by the step k of the increment; see :func:`forgetting`.
    teacher_memory : [n', t − 1] or None
        The same of the teacher, for those of the first paths that have a strain.
    inputs : [m, m]
        Root mean square of ``∂σ_T/∂Δε_k`` over paths and steps (row: stress, column: strain), unit of stress.
    shapley : Shapley or None
        None if Captum is not installed.
    recovered : list of Recovered
        One for each internal variable of the teacher that varies; empty without a teacher, or without a memory.
    teacher_error : float or None
        Mean relative difference of the stresses of the given teacher and of the data.
    """

    memory: Array
    teacher_memory: Array | None
    inputs: Array
    shapley: Shapley | None
    recovered: list[Recovered] = field(default_factory=list)
    teacher_error: float | None = None


def explain(
    law: LearnedMaterial, dataset: Dataset, *, teacher: Material | None = None, paths: int = 60, seed: int = 0
) -> Explanation:
    """Return the explanation of ``law`` on the first ``paths`` paths of ``dataset``.

    Parameters
    ----------
    law : LearnedMaterial
        Of any network, or a foreign script.
    dataset : Dataset
        Paths; kept-back ones, if what is explained should be what the law does in use.
    teacher : Material, optional
        The law that made the data, for its memory and its internal variables; of a volume element (more than a
        hundred variables a point) only the stress is compared.
    seed : int
        Of the orders in which Shapley values are sampled.

    Notes
    -----
    Raises ``InputError`` when kinematics or units differ, or the teacher does not give the stresses of the data.
    """
    if law.kinematics != dataset.kinematics:
        raise InputError(f"The law takes {law.kinematics}; the paths are {dataset.kinematics}.")
    check_units(law, dataset, "the law", "the paths")
    few = dataset.subset(slice(paths))
    error = None if teacher is None else _teaches(teacher, few)
    slopes = sensitivity(law, few)
    point = teacher is not None and teacher.state_layout.size <= LARGEST_STATE
    teacher_memory = None
    if teacher is not None and point:
        by_differences = difference_sensitivity(teacher, few.subset(slice(TEACHER_PATHS)))
        teacher_memory = forgetting(by_differences, law.kinematics) if len(by_differences) else None
    try:
        shared: Shapley | None = shapley(law, few.subset(slice(16)), seed=seed)
    except EnvironmentProblem:
        shared = None
    return Explanation(
        memory=forgetting(slopes, law.kinematics),
        teacher_memory=teacher_memory,
        inputs=np.sqrt(np.mean(slopes**2, axis=(0, 1))),
        shapley=shared,
        recovered=recover(law, teacher, few) if teacher is not None and point else [],
        teacher_error=error,
    )


def sensitivity(law: LearnedMaterial, dataset: Dataset) -> Array:
    """Return the exact ``∂σ_T/∂Δε_k``, ``[n, t − 1, m, m]``, unit of stress: final stress by past strain increments.

    An increment shifts all strains after it, so the derivative is the sum of those by the later strains. It is taken
    in float64 by back-propagation through the scan.
    """
    run = _Scan(law)
    strain = torch.tensor(dataset.strain, requires_grad=True)
    final = run(strain, torch.tensor(dataset.time))
    rows = []
    for component in range(final.shape[1]):
        (row,) = torch.autograd.grad(final[:, component].sum(), strain, retain_graph=True, materialize_grads=True)
        rows.append(row[:, 1:])
    by_strain = torch.stack(rows, 2)  # [n, t − 1, stress, strain]
    return by_strain.flip(1).cumsum(1).flip(1).numpy()


def difference_sensitivity(material: Material, dataset: Dataset, *, step: float = 1e-4) -> Array:
    """Return ``∂σ_T/∂Δε_k``, ``[n, t − 1, m, m]``, of any law by central differences of the whole path.

    ``step`` is the change of an increment over the largest strain of the path; paths without a strain are left out.
    """
    _, t, m = dataset.strain.shape
    size = step * np.abs(dataset.strain - dataset.kinematics.reference).max(axis=(1, 2))
    moving = np.flatnonzero(size)
    slopes = np.empty((len(moving), t - 1, m, m))
    for row, path in enumerate(moving):
        shifts = np.zeros((t - 1, m, t, m))
        for k in range(t - 1):
            shifts[k, np.arange(m), k + 1 :, np.arange(m)] = size[path]
        shifts = shifts.reshape(-1, t, m)
        strain = np.concatenate([dataset.strain[path] + shifts, dataset.strain[path] - shifts])
        final = respond(material, dataset.time[path], strain).stress[:, -1].reshape(2, t - 1, m, m)
        slopes[row] = np.swapaxes(final[0] - final[1], -1, -2) / (2.0 * size[path])
    return slopes


def forgetting(slopes: Array, kinematics: Kinematics) -> Array:
    """Return the size of ``slopes[n, t − 1, m, m]`` over that of the last step, ``[n, t − 1]``.

    1 is an increment that is felt like the last one, 0 one that is forgotten. The part that acts by a change of volume
    is left out, for most solids keep it for ever and it would hide the rest.
    """
    if kinematics.size > 1:
        volume = np.array([float(label[0] == label[-1]) for label in kinematics.components])
        volume /= np.linalg.norm(volume)
        shape = np.eye(kinematics.size) - np.outer(volume, volume)
        slopes = shape @ slopes @ shape
    size = np.sqrt(np.sum(slopes**2, axis=(2, 3)))
    return size / np.maximum(size[:, -1:], np.finfo(float).tiny)


def shapley(law: LearnedMaterial, dataset: Dataset, *, parts: int = 4, orders: int = 40, seed: int = 0) -> Shapley:
    """Return the Shapley values of the final stress by strain component and part of the history.

    The players are the increments of one strain component in one of ``parts`` equal parts of the path; a player that
    is absent has increments of zero. Values are averages over ``orders`` random orders (Castro, Gómez & Tejada 2009,
    doi 10.1016/j.cor.2008.04.004), of which each sums to the whole
    (Captum adds them up in float32).

    Raises ``EnvironmentProblem`` when Captum is not installed.
    """
    try:
        from captum.attr import ShapleyValueSampling
    except ImportError:
        raise EnvironmentProblem("Shapley values need Captum: pip install 'pointlaw[explain]'.") from None
    run = _Scan(law)
    n, t, m = dataset.strain.shape
    parts = min(parts, t - 1)
    ends = np.linspace(0, t - 1, parts + 1).round().astype(int)
    player = np.searchsorted(ends[1:], np.arange(t - 1), side="right")[:, None] * m + np.arange(m)
    start = torch.tensor(dataset.strain[:, :1])
    increments = torch.tensor(np.diff(dataset.strain, axis=1))

    def project(moves: Tensor, first: Tensor, time: Tensor, along: Tensor) -> Tensor:
        with torch.no_grad():
            return (run(torch.cat([first, first + moves.cumsum(1)], 1), time) * along).sum(1)

    time = torch.tensor(dataset.time)
    with torch.no_grad():
        final = run(torch.tensor(dataset.strain), time)
    along = final / final.norm(dim=1, keepdim=True).clamp_min(1e-300)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = ShapleyValueSampling(project).attribute(
            increments,
            baselines=torch.zeros_like(increments),
            additional_forward_args=(start, time, along),
            feature_mask=torch.tensor(player)[None],
            n_samples=orders,
        )
    values = given[:, ends[:-1]].reshape(n, parts, m).numpy()  # every entry of a player carries the player's value
    more = (start, time, along)
    total = project(increments, *more) - project(torch.zeros_like(increments), *more)
    return Shapley(values=values, total=total.numpy(), ends=tuple(ends.tolist()))


def recover(law: LearnedMaterial, teacher: Material, dataset: Dataset) -> list[Recovered]:
    """Return how well the network's memory explains the internal variables of ``teacher`` linearly.

    The map is fitted by least squares (with a ridge of 1e-8) on every other path and judged on the rest. The strain
    of the last step is not memory and is left out; so is a variable that does not vary on both halves of the paths.
    """
    memory = [part for name, part in law.state_layout.items() if name not in ("strain", OLD_STRAIN)]
    if not memory or dataset.paths < 2:
        return []
    own = np.concatenate([_states(law, dataset)[..., part] for part in memory], axis=2)
    theirs = _states(teacher, dataset)
    found = []
    for name, part in teacher.state_layout.items():
        wanted = theirs[..., part]
        if min(np.ptp(half, axis=(0, 1)).max() for half in (wanted[::2], wanted[1::2])) < 1e-12:
            continue
        strain = dataset.strain[:, 1:]
        both = np.concatenate([own, strain], axis=2)
        r2, r2_strain, r2_both = (_r2(*_fit_and_judge(known, wanted)) for known in (own, strain, both))
        true, best = _fit_and_judge(both, wanted)
        found.append(Recovered(name, r2, r2_strain, r2_both, true.ravel(), best.ravel()))
    return found


class _Scan:
    """A law as a differentiable function ``(strain[n, t, m], time[n, t]) -> final stress [n, m]`` in float64."""

    def __init__(self, law: LearnedMaterial):
        features: FeatureMap = feature_map(law.card.features, law.card.scaling)
        self.A, self.B, self.c, self.x0 = (
            torch.tensor(array, dtype=torch.float64) for array in (features.A, features.B, features.c, features.x0)
        )
        self.scale = torch.tensor(law.card.scaling.stress, dtype=torch.float64)
        self.network = law.network
        if isinstance(law.network, Network):
            with torch.random.fork_rng(devices=[]):  # weights that are replaced at once shall cost no random numbers
                self.network = type(law.network)(**law.network.config)
            self.network.load_state_dict(law.network.state_dict())
            self.network = self.network.double().eval().requires_grad_(False)
        self.state_size = sum(size for name, size in law.state_layout.sizes.items() if name != OLD_STRAIN)

    def __call__(self, strain: Tensor, time: Tensor) -> Tensor:
        """Return the stress at the end."""
        x = strain[:, 1:] @ self.A.T + strain[:, :-1] @ self.B.T + time.diff(dim=1)[..., None] * self.c + self.x0
        if isinstance(self.network, Network):
            return self.network.scan(x)[:, -1] * self.scale
        state = torch.zeros(len(x), self.state_size, dtype=x.dtype)
        for moment in x.unbind(1):
            y, state = self.network(moment, state)
        return y * self.scale


def _teaches(teacher: Material, dataset: Dataset) -> float:
    if teacher.kinematics != dataset.kinematics:
        raise InputError(f"The teacher takes {teacher.kinematics}; the paths are {dataset.kinematics}.")
    check_units(teacher, dataset, "the teacher", "the paths")
    error = float(relative_errors(respond(teacher, dataset.time, dataset.strain).stress, dataset.stress).mean())
    if not error <= SHARED:
        raise InputError(
            f"{type(teacher).__name__} is not the teacher of these data: its stress differs by {100 * error:.1f} % "
            f"(data of '{dataset.card.teacher}'); give the law with the parameters that made them."
        )
    return error


def _states(material: Material, dataset: Dataset) -> Array:
    """Return the states ``[n, t − 1, s]`` after each step."""
    return np.stack([state.copy() for _, state in replay(material, dataset.time, dataset.strain)], axis=1)


def _fit_and_judge(known: Array, wanted: Array) -> tuple[Array, Array]:
    """Fit ``wanted[n, t, q]`` linearly to ``known[n, t, s]`` on even paths; return truth and fit on the odd ones."""
    middle, width = known[::2].mean(axis=(0, 1)), np.maximum(known[::2].std(axis=(0, 1)), 1e-300)
    scaled = np.concatenate([(known - middle) / width, np.ones((*known.shape[:2], 1))], axis=2)
    X, Y = (array[::2].reshape(-1, array.shape[-1]) for array in (scaled, wanted))
    weights = np.linalg.solve(X.T @ X + 1e-8 * len(X) * np.eye(X.shape[1]), X.T @ Y)
    true, guess = wanted[1::2], scaled[1::2] @ weights
    return true.reshape(-1, true.shape[-1]), guess.reshape(-1, guess.shape[-1])


def _r2(true: Array, guess: Array) -> float:
    """Return the share of the variance of ``true[points, q]`` that ``guess`` explains, all components together."""
    return float(1.0 - np.sum((true - guess) ** 2) / np.sum((true - true.mean(axis=0)) ** 2))
