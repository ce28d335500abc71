"""A polyconvex energy of cubic symmetry for a soft beam lattice, from five load paths: train, measure, write the law.

The data are homogenised responses of two lattice cells (Fernández et al. 2020, doi 10.1007/s00466-020-01954-7, CC BY
4.0): deformation gradient, first Piola–Kirchhoff stress, energy. The struts buckle within a strain of 0.02, so all
points near rest are trained on and few beyond. The least squares are solved by the method of Levenberg and Marquardt
with the Jacobian in closed form; of many starts the best go on, and the law is their mean. The energies of the data add
nothing here: along a path they are the work of its stress.

Two choices are made for paths on which there are no data, as ``benchmarks/beam_lattice.py`` shows on computed ones. The
norms of the network are stretches of fibres and areas, as struts are stretched. And a path of small stresses counts
little (``--power``): a polyconvex energy that is made to follow soft bending and buckling to the last percent
(``--power 1``) errs all the more where paths are combined and struts are stretched.

    python benchmarks/lattice.py --cell X [--out lattice_X.safetensors] [--minutes 11] [--leave-one-out [planar ...]]

Prints the relative error ‖P − P̂‖/‖P̂‖ of each path, whole and by branches, and beside it the floor: buckled struts break
the symmetry of the cube, and that part of the stress no energy of this symmetry can follow. Then, for paths on which
there are no data, how much the fits disagree. With --leave-one-out also the error on the named paths (on all, without
a name) when they were not trained on, one training more for each. The figures of the card are interpolation on the
calibration paths, measured on points between those trained on: no path was kept back, and the card says so.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import Dataset, DatasetCard, Scaling, Units  # noqa: E402
from pointlaw.laws import make_law, save_law  # noqa: E402
from pointlaw.networks import EnergySymmetrised  # noqa: E402
from pointlaw.networks.energy_residuals import StressResiduals  # noqa: E402
from pointlaw.networks.energy_symmetrised import mean_energy  # noqa: E402
from pointlaw.networks.structure import cubic_rotations  # noqa: E402

OUT = Path(__file__).parent / "out"
PATHS = ("uniaxial", "biaxial", "planar", "shear", "volumetric")
MODEL = {"hidden": [32, 12], "norms": 12}
REST = np.eye(3).reshape(9)
NEAR = 0.06  # largest component of F − I up to which every point of a path is trained on
EVERY = 4  # beyond, one point of so many is trained on
STEPS = 12  # of a branch of a path in the dataset of the figures
POWER = 0.25  # of the mean stress of a path: at 1 every path counts the same, at 0 every stress
FLOOR = 1e-3  # of the mean squared column of the Jacobian: the least damping of a weight that moves nothing
FADE = 0.9  # of the largest columns so far, from step to step
SHORT = 60  # steps of a fit that shows what a start is worth
SCREEN = 0.5  # of the time at most goes to these
KEPT_BACK = "interpolation on the calibration paths; no path was kept back"
# Displacement gradients at the end of paths that combine stretches and shears within the range of the data.
MIXED = {
    "tension, shear": [[0.3, 0.3, 0], [0, -0.12, 0], [0, 0, -0.12]],
    "compr., shear": [[-0.3, 0.3, 0], [0, 0.02, 0], [0, 0, 0.02]],
    "biaxial, shear": [[0.25, 0.25, 0], [0, 0.25, 0], [0, 0, -0.4]],
    "planar, shear": [[0.35, 0, 0.25], [0, 0, 0], [0, 0, -0.25]],
    "volume, tension": [[0.3, 0, 0], [0, 0.15, 0], [0, 0, 0.15]],
    "volume, shear": [[0.2, 0.3, 0], [0, 0.2, 0], [0, 0, 0.2]],
    "compr., compr.": [[-0.3, 0, 0], [0, -0.15, 0], [0, 0, 0.02]],
    "three shears": [[0.1, 0.2, 0.2], [0, 0, 0.2], [0, 0, -0.1]],
    "all": [[0.2, 0.15, -0.1], [0.1, -0.1, 0.2], [0.05, -0.1, 0.1]],
}
Paths = dict[str, tuple[np.ndarray, np.ndarray]]


def read(folder: Path, cell: str) -> Paths:
    """Return ``F[t, 9]`` and ``P[t, 9]`` (Pa) of the five paths."""
    tables = {name: np.loadtxt(folder / f"lattice_{cell}_{name}.txt") for name in PATHS}
    return {name: (table[:, :9], table[:, 9:18]) for name, table in tables.items()}


def chosen(F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which points ``[t]`` of a path are trained on, and for how many each stands, ``[t]``."""
    near = np.abs(F - REST).max(1) < NEAR
    rest = int(np.abs(F - REST).sum(1).argmin())
    return near | ((np.arange(len(F)) - rest) % EVERY == 0), np.where(near, 1.0, EVERY)


def datasets(paths: Paths, cell: str) -> tuple[Dataset, Dataset]:
    """Return the points trained on and points between them, as branches that begin at the undeformed state.

    Of the first all are there, and a branch of fewer than others stays at its last point; of the second as many as
    ``STEPS`` from each branch.
    """
    trained, between = [], []
    for F, P in paths.values():
        taken, rest = chosen(F)[0], int(np.abs(F - REST).sum(1).argmin())
        for branch in (np.arange(rest, len(F)), np.arange(rest, -1, -1)):
            if len(branch) > 1:
                trained.append((F, P, branch[taken[branch]]))
                left = branch[~taken[branch]]
                share = np.linspace(0, len(left) - 1, STEPS).round().astype(int)
                between.append((F, P, np.r_[rest, left[share]]))
    return branches(trained, cell), branches(between, cell)


def branches(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], cell: str) -> Dataset:
    """Return the rows of ``(F, P, rows)`` as a dataset, repeating the last row of the shorter ones."""
    times = max(len(rows) for _, _, rows in parts)
    rows = [np.r_[rows, np.repeat(rows[-1], times - len(rows))] for _, _, rows in parts]
    strain = np.array([F[r] for (F, _, _), r in zip(parts, rows, strict=True)])
    stress = np.array([P[r] for (_, P, _), r in zip(parts, rows, strict=True)])
    card = DatasetCard(
        kinematics="finite_strain_3d", units=Units(stress="Pa"), teacher=f"beam lattice {cell}",
        parameters={"source": "doi 10.1007/s00466-020-01954-7, CC BY 4.0"},
    )  # fmt: skip
    return Dataset(time=np.linspace(0.0, 1.0, times), strain=strain, stress=stress, card=card)


def train(
    network: EnergySymmetrised, paths: Paths, scale: float, power: float, seconds: float, most: float = math.inf
) -> float:
    """Minimise the mean over paths of the squared misfit, see :func:`residuals`, and return its root.

    Ends after ``seconds``, after ``most`` steps, or when nothing moves.

    Levenberg and Marquardt, damped by the largest columns of the Jacobian so far; the equations are solved in the
    space of the residuals, of which there are fewer than weights.
    """
    problem = residuals(network, paths, scale, power)
    begin, steps, idle, damping = time.perf_counter(), 0, 0, 1e-2
    weights, r, moves = problem.weights(), problem.values(), movable(network)
    cost, size = r @ r, torch.zeros(())
    while idle < 20 and steps < most and time.perf_counter() - begin < seconds:
        J = problem.jacobian() * moves
        slope = J.T @ r
        size = torch.maximum(J.square().sum(0), FADE * size)
        for _ in range(20):
            inverse = 1.0 / (damping * size.clamp_min(FLOOR * size.mean()))
            scaled = J * inverse
            equations = scaled @ J.T + torch.eye(len(J), dtype=J.dtype)
            solved = torch.cholesky_solve((scaled @ slope).unsqueeze(1), torch.linalg.cholesky(equations))[:, 0]
            trial = weights - (inverse * slope - scaled.T @ solved)
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
    seconds = time.perf_counter() - begin
    misfit = float(problem.values().norm())
    print(
        f"{len(r)} residuals, {len(weights)} weights: {steps} steps in {seconds:.0f} s, misfit {100 * misfit:.2f} %",
        flush=True,
    )
    return misfit


def residuals(network: EnergySymmetrised, paths: Paths, scale: float, power: float) -> StressResiduals:
    """Return the residuals of the points trained on, those of a path over the ``power`` of its mean stress."""
    parts = []
    for F, stress in paths.values():
        taken, count = chosen(F)
        w = np.sqrt(count[taken])
        mean = np.linalg.norm(w[:, None] * stress[taken]) / np.linalg.norm(w) / scale
        norm = mean**power * np.linalg.norm(w) * len(paths) ** 0.5
        parts.append((F[taken], stress[taken] / scale, w / norm))
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
    branch.scale(max(float(answer @ problem.target / (answer @ answer)), 1e-3))  # type: ignore[operator]


def ensemble(
    paths: Paths, scale: float, given: argparse.Namespace
) -> tuple[EnergySymmetrised, list[EnergySymmetrised]]:
    """Return the mean of the best fits from different starts, and these.

    From one start to another the misfit differs by more than a factor of two, and a short fit shows which are worth
    the time.
    """
    seconds, begin, short = 60.0 * given.minutes, time.perf_counter(), []
    for seed in range(given.seed, given.seed + given.starts):
        torch.manual_seed(seed)
        network = EnergySymmetrised(**MODEL).double()
        fibres_and_areas(network)
        start(network, residuals(network, paths, scale, given.power))
        misfit = train(network, paths, scale, given.power, SCREEN * seconds / given.starts, SHORT)
        short.append((misfit, seed, network))
    members = [network for _, _, network in sorted(short, key=lambda fit: fit[:2])[: given.members]]
    for left, network in zip(range(given.members, 0, -1), members, strict=True):
        train(network, paths, scale, given.power, (seconds - (time.perf_counter() - begin)) / left)
    return mean_energy(members), members


def answers(network: EnergySymmetrised, F: np.ndarray) -> np.ndarray:
    """Return the stress ``[t, 9]`` in units of the stress scale."""
    with torch.no_grad():
        return network.scan(torch.tensor(F - REST)[None])[0].numpy()


def symmetric_part(F: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return what an objective energy of cubic symmetry can follow of the stresses ``P[t, 9]``.

    ``F⁻¹P`` must be symmetric and have the rotations of the cube that leave ``C`` as it is.
    """
    f = F.reshape(-1, 3, 3)
    C, S = f.swapaxes(1, 2) @ f, np.linalg.solve(f, P.reshape(-1, 3, 3))
    turns = cubic_rotations()[:, None]
    keeps = np.abs(turns @ C @ turns.swapaxes(2, 3) - C).max((2, 3), keepdims=True) < 1e-9
    turned = turns @ (0.5 * (S + S.swapaxes(1, 2))) @ turns.swapaxes(2, 3)
    return (f @ ((turned * keeps).sum(0) / keeps.sum(0))).reshape(-1, 9)


def errors(network: EnergySymmetrised, F: np.ndarray, P: np.ndarray, scale: float) -> dict[str, float]:
    """Return the relative errors of a path, of its first and of its second branch, and what symmetry leaves of these.

    The branches are the rows before and after the undeformed state: compression and tension. ``floor`` is the error of
    the best stress of this symmetry, ``reducible`` is that of the law beyond it.
    """
    found, best = answers(network, F) * scale, symmetric_part(F, P)
    rest = int(np.abs(F - REST).sum(1).argmin())

    def relative(a: np.ndarray, rows: slice) -> float:
        return float(np.linalg.norm((a - P)[rows]) / np.linalg.norm(P[rows])) if len(P[rows]) > 1 else float("nan")

    whole, compression, tension = slice(None), slice(0, rest), slice(rest + 1, None)
    return {
        "error": relative(found, whole), "floor": relative(best, whole), "reducible": relative(found - best + P, whole),
        "compression": relative(found, compression), "compression floor": relative(best, compression),
        "tension": relative(found, tension), "tension floor": relative(best, tension),
    }  # fmt: skip


def disagreement(members: list[EnergySymmetrised]) -> dict[str, float]:
    """Return on paths without data how far members lie from their mean: the standard deviation over its norm."""
    table = {}
    for name, gradient in MIXED.items():
        t = np.linspace(0.0, 1.0, 41)[1:, None]
        found = np.array([answers(member, REST + t * np.array(gradient).reshape(9)) for member in members])
        spread = np.square(found - found.mean(0)).sum((1, 2)).sum() / max(len(members) - 1, 1)
        table[name] = float(np.sqrt(spread) / np.linalg.norm(found.mean(0)))
    return table


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table in percent: a row for each path, a column for each figure."""
    columns = list(next(iter(rows.values())))
    print(f"{title:16}" + "".join(f"{name:>19}" for name in columns))
    for name, row in rows.items():
        print(f"{name:16}" + "".join(f"{100 * row[column]:19.2f}" for column in columns), flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=("X", "BCC"), required=True)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=11.0, help="of each training, by the clock on the wall")
    parser.add_argument("--members", type=int, default=4, help="fits whose mean is the law")
    parser.add_argument("--starts", type=int, default=16, help="from which the fits begin; the best go on")
    parser.add_argument(
        "--power", type=float, default=POWER, help="of the mean stress of a path, over which its counts"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first start")
    parser.add_argument("--leave-one-out", nargs="*", choices=PATHS, metavar="PATH", help="without a name: every path")
    given = parser.parse_args()
    if not 1 <= given.members <= given.starts:
        parser.error(f"--members {given.members} must lie between 1 and the number of --starts, {given.starts}")
    return given


def main() -> None:
    """Read the command line, train, print, write."""
    given, begin = arguments(), time.perf_counter()
    torch.set_num_threads(1)
    paths = read(given.data, given.cell)
    training, between = datasets(paths, given.cell)
    scaling = Scaling.fit(training, "physical")
    scale = scaling.stress[0]
    network, members = ensemble(paths, scale, given)
    table = {"trained on": {name: errors(network, F, P, scale) for name, (F, P) in paths.items()}}
    print(f"{given.cell}: relative errors of P in %, {time.perf_counter() - begin:.0f} s")
    show("trained on", table["trained on"])
    spread = {name: {"disagreement": value} for name, value in disagreement(members).items()}
    show("mixed, no data", spread)
    law = make_law(
        network, scaling, name=f"lattice {given.cell}", training=training, kept_back=between, seed=given.seed,
        settings={
            "method": "Levenberg-Marquardt on all points, mean of members", "minutes": given.minutes,
            "members": given.members, "starts": given.starts, "power": given.power, "error": table,
            "disagreement": spread, "kept_back": KEPT_BACK,
        },
    )  # fmt: skip
    print(f"card: mean error {100 * law.card.figures.error_mean:.2f} % ({KEPT_BACK})")
    OUT.mkdir(exist_ok=True)
    out = given.out or OUT / f"lattice_{given.cell}.safetensors"
    save_law(out, law)
    print(f"written after {time.perf_counter() - begin:.0f} s: {out}", flush=True)
    if given.leave_one_out is not None:
        table["left out"] = {}
        for left in given.leave_one_out or PATHS:
            other, _ = ensemble({name: path for name, path in paths.items() if name != left}, scale, given)
            table["left out"][left] = errors(other, *paths[left], scale)
            show("left out", {left: table["left out"][left]})
    (OUT / f"lattice_{given.cell}.json").write_text(json.dumps({**table, "mixed": spread}, indent=2))


if __name__ == "__main__":
    main()
