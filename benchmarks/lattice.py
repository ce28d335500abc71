"""An energy of cubic symmetry for a soft beam lattice, from five load paths: train, measure, write the law.

The data are homogenised responses of two lattice cells (Fernández et al. 2020, doi 10.1007/s00466-020-01954-7, CC BY
4.0): deformation gradient, first Piola–Kirchhoff stress, energy. Five simple paths do not say what happens on mixed
ones. Therefore the cells are computed as beams with seven constants that were fitted to the same five paths
(``benchmarks/beam_lattice.py``), and the energy is fitted to the public paths and to mixed paths of the beams, some of
them with free sides (``benchmarks/beam_paths.py``); no other public data are used. The least squares are solved by the
method of Levenberg and Marquardt with the Jacobian in closed form, and the law is the mean of fits from different
starts.

    python benchmarks/lattice.py --cell X [--out lattice_X.safetensors] [--minutes 9] [--energy free | polyconvex]
                                 [--computed 480] [--hold-out]

Both kinds of energy are objective, cubic and free of stress at rest by construction. ``free`` is the default: where
struts have buckled the cell X is not elliptic, so no polyconvex energy can follow it (``benchmarks/beam_lattice.py``,
``benchmarks/lattice_limit.py --mixed``). ``polyconvex`` is for who needs the guarantee more than the last percents.
With ``--computed 0`` the five paths are all there is.

Prints the relative error ‖P − P̂‖/‖P̂‖ of each public path, whole and by branches, and beside it the floor: buckled
struts break the symmetry of the cube, and that part of the stress no energy of this symmetry can follow. Then the error
on computed paths that were not trained on, and how much the fits disagree there. With --hold-out one training more: on
three public paths and on beams that were calibrated on these three, asked for the other two, biaxial and planar. The
struts buckle within a strain of 0.02, so all points near rest are trained on and few beyond. The figures of the card
are those on the computed paths that were not trained on.
"""

import argparse
import functools
import json
import math
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.linalg.blas import dsyrk  # noqa: E402

from beam_lattice import CONSTANTS, HELD_OUT, WITHOUT  # noqa: E402
from beam_paths import NAMED, STEPS, Answers, drawn, drawn_free, free_sided, mixed, named_and_drawn  # noqa: E402
from beams import Cell  # noqa: E402
from lattice_data import (  # noqa: E402
    CELLS,
    FOLDER,
    OUT,
    REST,
    Paths,
    Table,
    branches,
    read,
    relative,
    rest_row,
    show,
    symmetric_part,
)
from pointlaw.data import Dataset, DatasetCard, Scaling, Units  # noqa: E402
from pointlaw.laws import make_law, save_law  # noqa: E402
from pointlaw.networks import EnergySymmetrised  # noqa: E402
from pointlaw.networks.energy_residuals import StressResiduals  # noqa: E402
from pointlaw.networks.energy_symmetrised import mean_energy  # noqa: E402

Weights = torch.Tensor  # of a network, in one row
COMPUTED = "mixed paths computed as beams"
PUBLIC = "doi 10.1007/s00466-020-01954-7, CC BY 4.0"
MODELS = {
    "free": {"hidden": [24, 8], "norms": 12, "polyconvex": False},
    "polyconvex": {"hidden": [32, 12], "norms": 12, "polyconvex": True},
}
NEAR = 0.06  # largest component of F − I up to which every point of a public path is trained on
EVERY = 4  # beyond, one point of so many is trained on
FREE_SIDED = 0.25  # share of the computed paths whose sides are free
UNSEEN = 24, 12  # computed paths that are not trained on, beside the named ones: drawn, and with free sides
POWER = 0.5  # of the mean stress of a path: at 1 every path counts the same, at 0 every stress
FLOOR = 1e-3  # of the mean squared column of the Jacobian: the least damping of a weight that moves nothing
FADE = 0.9  # of the largest columns so far, from step to step
SHORT = 60  # steps of a fit that shows what a start is worth
SCREEN = 0.5  # of the time at most goes to these
KEPT_BACK = "mixed paths of the cell computed as beams, none of them trained on; all public paths were trained on"


def chosen(F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which points ``[t]`` of a path are trained on, and for how many each stands, ``[t]``."""
    near = np.abs(F - REST).max(1) < NEAR
    return near | ((np.arange(len(F)) - rest_row(F)) % EVERY == 0), np.where(near, 1.0, EVERY)


def to_train_on(cell: Cell, count: int, paths: Paths) -> Answers:
    """Return every second point of computed paths that the beams could follow to the end; some have free sides."""
    if count == 0:
        return []
    free = math.ceil(FREE_SIDED * count)
    answers = mixed(cell, drawn(count - free, 0, paths), STEPS) + free_sided(cell, drawn_free(free, 0), STEPS)
    return [(F[1::2], P[1::2]) for F, P in answers if len(F) == STEPS]


def trained_on(paths: Paths, computed: Answers, cell: str) -> Dataset:
    """Return the points trained on, as branches that begin at the undeformed state."""
    parts = []
    for F, P in paths.values():
        taken = chosen(F)[0]
        parts += [(F[rows[taken[rows]]], P[rows[taken[rows]]]) for rows in branches(F).values()]
    return dataset(parts + from_rest(computed), cell, f"{PUBLIC}; {COMPUTED}" if computed else PUBLIC)


def from_rest(computed: Answers) -> Answers:
    """Return computed paths with the undeformed state before them."""
    return [(np.vstack([REST, F]), np.vstack([np.zeros(9), P])) for F, P in computed]


def dataset(parts: Answers, cell: str, source: str) -> Dataset:
    """Return paths ``(F, P)`` as a dataset, repeating the last row of the shorter ones."""
    times = max(len(F) for F, _ in parts)
    strain, stress = (
        np.array([np.vstack([array, np.repeat(array[-1:], times - len(array), 0)]) for array in arrays])
        for arrays in zip(*parts, strict=True)
    )
    card = DatasetCard(
        kinematics="finite_strain_3d", units=Units(stress="Pa"), teacher=f"beam lattice {cell}",
        parameters={"source": source},
    )  # fmt: skip
    return Dataset(time=np.linspace(0.0, 1.0, times), strain=strain, stress=stress, card=card)


def train(problem: StressResiduals, moves: torch.Tensor, seconds: float, most: float = math.inf) -> float:
    """Minimise the sum of squares of the residuals by the weights whose ``moves[w]`` are 1, and return its root.

    Ends after ``seconds``, after ``most`` steps, or when nothing moves.

    Levenberg and Marquardt, damped by the largest columns of the Jacobian so far; the equations are solved in the
    space of the residuals or in that of the weights, whichever is smaller.
    """
    begin, steps, idle, damping = time.perf_counter(), 0, 0, 1e-2
    weights, r = problem.weights(), problem.values()
    cost, size = r @ r, torch.zeros(())
    fewer = len(r) < len(weights)
    while idle < 20 and steps < most and time.perf_counter() - begin < seconds:
        J = problem.jacobian() * moves
        size = torch.maximum(J.square().sum(0), FADE * size)
        unit = size.clamp_min(FLOOR * size.mean()).rsqrt()
        J *= unit
        slope = J.T @ r
        # J Jᵀ or Jᵀ J, of which one triangle is enough.
        equations, right = torch.from_numpy(dsyrk(1.0, J.numpy().T, trans=fewer).T), J @ slope if fewer else slope
        for _ in range(20):
            damped = equations.clone()
            damped.diagonal().add_(damping)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if failed:  # rounding beat the damping
                damping *= 4.0
                continue
            solved = torch.cholesky_solve(right.unsqueeze(1), factor)[:, 0]
            step = (slope - J.T @ solved) / damping if fewer else solved
            trial = weights - unit * step
            problem.set(trial)
            r = problem.values()
            now = r @ r
            if now < cost:  # not so where anything is not a number
                break
            damping *= 4.0
        else:
            break
        idle = idle + 1 if cost - now < 1e-7 * cost else 0
        weights, cost, damping, steps = trial, now, max(damping / 3.0, 1e-12), steps + 1
    problem.set(weights)
    seconds, misfit = time.perf_counter() - begin, float(problem.values().norm())
    print(
        f"{len(r)} residuals, {len(weights)} weights: {steps} steps in {seconds:.0f} s, misfit {misfit:.4f}",
        flush=True,
    )
    return misfit


def residuals(
    network: EnergySymmetrised, paths: Paths, computed: Answers, scale: float, power: float
) -> StressResiduals:
    """Return the residuals of the points trained on, those of a path over the ``power`` of its mean stress.

    The mean square over the public paths and that over the computed ones count the same.
    """
    public = []
    for F, P in paths.values():
        taken, count = chosen(F)
        public.append((F[taken], P[taken], count[taken]))
    parts = []
    for group in (public, [(F, P, np.ones(len(F))) for F, P in computed]):
        for F, stress, count in group:
            w = np.sqrt(count)
            mean = np.linalg.norm(w[:, None] * stress) / np.linalg.norm(w) / scale
            parts.append((F, stress / scale, w / (mean**power * np.linalg.norm(w) * len(group) ** 0.5)))
    F, P, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return StressResiduals(network, F, P, weight)


def fibres_and_areas(network: EnergySymmetrised) -> None:
    """Make two of three norms the stretch of a fibre, ``|F a|``, and the others that of an area, ``|cof(F) b|``."""
    branch = network.branches[0]
    fibres = 2 * branch.norms // 3
    with torch.no_grad():
        for matrices, others in ((branch.A, slice(fibres, None)), (branch.B, slice(0, fibres))):
            matrices[:, :, 1:] = 0.0
            matrices[others] = 0.0


def movable(network: EnergySymmetrised) -> torch.Tensor:
    """Return 1 for each weight, ``[w]``, and 0 for entries of the matrices that began as zero: a fibre stays one."""
    parts = [
        (weight != 0.0 if name.endswith((".A", ".B")) else torch.ones_like(weight)).reshape(-1)
        for name, weight in network.named_parameters()
    ]
    return torch.cat([part.double() for part in parts])


def start(network: EnergySymmetrised, problem: StressResiduals) -> None:
    """Multiply the energy by what brings its stresses closest: a first step from stresses far off kills many units."""
    answer = problem.values() + problem.target
    branch = network.branches[0]
    branch.core.scale(max(float(answer @ problem.target / (answer @ answer)), 1e-3))  # type: ignore[union-attr, operator]


def fitted(
    paths: Paths, computed: Answers, scale: float, given: argparse.Namespace, seed: int, weights: Weights | None,
    seconds: float, most: float,
) -> tuple[float, int, Weights]:  # fmt: skip
    """Return the misfit, the seed and the weights of a fit from the start of this seed, or from these weights on."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = EnergySymmetrised(**MODELS[given.energy]).double()
    if given.energy == "polyconvex":
        fibres_and_areas(network)
    moves = movable(network)
    problem = residuals(network, paths, computed, scale, given.power)
    if weights is None:
        start(network, problem)
    else:
        problem.set(weights)
    misfit = train(problem, moves, seconds, most)
    return misfit, seed, problem.weights()


def ensemble(
    paths: Paths, computed: Answers, scale: float, given: argparse.Namespace
) -> tuple[EnergySymmetrised, list[EnergySymmetrised]]:
    """Return the mean of the best fits from different starts, and these; each core works on one fit at a time.

    From one start to another the misfit differs, and a short fit shows which are worth the time.
    """
    seconds, begin, cores = 60.0 * given.minutes, time.perf_counter(), len(os.sched_getaffinity(0))
    fit = functools.partial(fitted, paths, computed, scale, given)
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        rounds, seeds = math.ceil(given.starts / cores), range(given.seed, given.seed + given.starts)
        short = [pool.submit(fit, seed, None, SCREEN * seconds / rounds, SHORT) for seed in seeds]
        best = sorted((one.result() for one in short), key=lambda one: one[:2])[: given.members]
        left = (seconds - (time.perf_counter() - begin)) / math.ceil(given.members / cores)
        long = [pool.submit(fit, seed, weights, left, math.inf) for _, seed, weights in best]
        members = [EnergySymmetrised(**MODELS[given.energy]).double() for _ in long]
        for member, one in zip(members, long, strict=True):
            torch.nn.utils.vector_to_parameters(one.result()[2], member.parameters())
    return mean_energy(members), members


def answers(network: EnergySymmetrised, F: np.ndarray) -> np.ndarray:
    """Return the stress ``[t, 9]`` in units of the stress scale."""
    with torch.no_grad():
        return network.scan(torch.tensor(F - REST)[None])[0].numpy()


def errors(network: EnergySymmetrised, F: np.ndarray, P: np.ndarray, scale: float) -> dict[str, float]:
    """Return the relative errors of a path, of its first and of its second branch, and what symmetry leaves of these.

    The branches are the rows before and after the undeformed state: compression and tension. ``floor`` is the error of
    the best stress of this symmetry, ``reducible`` is that of the law beyond it.
    """
    found, best = answers(network, F) * scale, symmetric_part(F, P)
    table = {"error": relative(found, P), "floor": relative(best, P), "reducible": relative(found - best + P, P)}
    for side in ("compression", "tension"):
        rows = branches(F).get(side, [])
        table[side] = relative(found[rows], P[rows]) if len(rows) else math.nan
        table[f"{side} floor"] = relative(best[rows], P[rows]) if len(rows) else math.nan
    return table


def on_computed(members: list[EnergySymmetrised], paths: Paths, scale: float) -> Table:
    """Return of each path the error of the mean of the members and how far they lie from it, both over its norm."""
    table = {}
    for name, (F, P) in paths.items():
        found = scale * np.array([answers(member, F) for member in members])
        mean = found.mean(0)
        spread = np.square(found - mean).sum((1, 2)).sum() / max(len(members) - 1, 1)
        table[name] = {"error": relative(mean, P), "disagreement": float(np.sqrt(spread) / np.linalg.norm(P))}
    return table


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=CELLS, required=True)
    parser.add_argument("--data", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--energy", choices=tuple(MODELS), default="free")
    parser.add_argument("--computed", type=int, default=480, help="mixed paths of the beams that are trained on")
    parser.add_argument("--minutes", type=float, default=9.0, help="of each training, by the clock on the wall")
    parser.add_argument("--members", type=int, default=2, help="fits whose mean is the law")
    parser.add_argument("--starts", type=int, default=4, help="from which the fits begin; the best go on")
    parser.add_argument(
        "--power", type=float, default=POWER, help="of the mean stress of a path, over which its counts"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first start")
    parser.add_argument("--hold-out", action="store_true", help="train once more, without two public paths")
    given = parser.parse_args()
    if not 1 <= given.members <= given.starts:
        parser.error(f"--members {given.members} must lie between 1 and the number of --starts, {given.starts}")
    if given.computed < 0:
        parser.error(f"--computed {given.computed} is a number of paths and must not be negative")
    return given


def main() -> None:
    """Read the command line, compute, train, print, write."""
    given, begin = arguments(), time.perf_counter()
    torch.set_num_threads(1)
    paths = read(given.data, given.cell)
    scaling = Scaling.fit(trained_on(paths, [], given.cell), "physical")
    scale = scaling.stress[0]
    unseen = named_and_drawn(CONSTANTS[given.cell], *UNSEEN, paths)
    computed = to_train_on(CONSTANTS[given.cell], given.computed, paths)
    lost = len(NAMED) + sum(UNSEEN) + given.computed - len(unseen) - len(computed)
    print(
        f"{given.cell}: {len(unseen)} + {len(computed)} paths of the beams after {time.perf_counter() - begin:.0f} s; "
        f"without equilibrium somewhere, and left out: {lost}",
        flush=True,
    )
    network, members = ensemble(paths, computed, scale, given)
    table = {
        "trained on": {name: errors(network, F, P, scale) for name, (F, P) in paths.items()},
        "computed, unseen": on_computed(members, unseen, scale),
    }
    print(f"{given.cell}, {given.energy}: relative errors of P in %, {time.perf_counter() - begin:.0f} s")
    for title, rows in table.items():
        show(title, rows)
    unseen_errors = [row["error"] for row in table["computed, unseen"].values()]
    figures = {"mean": np.mean(unseen_errors), "median": np.median(unseen_errors), "worst": np.max(unseen_errors)}
    print("computed, unseen: " + ", ".join(f"{name} {100 * value:.2f} %" for name, value in figures.items()))
    law = make_law(
        network, scaling, name=f"lattice {given.cell}", training=trained_on(paths, computed, given.cell),
        kept_back=dataset(from_rest(list(unseen.values())), given.cell, COMPUTED), seed=given.seed,
        settings={
            "method": "Levenberg-Marquardt on public and computed paths, mean of members", "energy": given.energy,
            "computed": given.computed, "minutes": given.minutes, "members": given.members, "starts": given.starts,
            "power": given.power, "error": table, "kept_back": KEPT_BACK,
        },
    )  # fmt: skip
    print(f"card: mean error {100 * law.card.figures.error_mean:.2f} % ({KEPT_BACK})")
    OUT.mkdir(exist_ok=True)
    out = given.out or OUT / f"lattice_{given.cell}.safetensors"
    save_law(out, law)
    print(f"written after {time.perf_counter() - begin:.0f} s: {out}", flush=True)
    if given.hold_out:
        three = {name: path for name, path in paths.items() if name not in HELD_OUT}
        other, _ = ensemble(three, to_train_on(WITHOUT[given.cell], given.computed, three), scale, given)
        table["held out"] = {name: errors(other, *paths[name], scale) for name in HELD_OUT}
        show("held out", table["held out"])
    (OUT / f"lattice_{given.cell}.json").write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
