"""A polyconvex energy of cubic symmetry for a soft beam lattice, from five load paths: train, measure, write the law.

The data are homogenised responses of two lattice cells (Fernández et al. 2020, doi 10.1007/s00466-020-01954-7, CC BY
4.0): deformation gradient, first Piola–Kirchhoff stress, energy. The struts buckle within a strain of 0.02, so all
points near rest are trained on and few beyond; every path counts the same. The least squares are solved by L-BFGS on
all of these at once, which for a network this small reaches much further than stochastic steps. The energies of the
data add nothing here: along a path they are the work of its stress.

    python benchmarks/lattice.py --cell X [--out lattice_X.safetensors] [--minutes 12] [--leave-one-out [planar ...]]

Prints the relative error ‖P − P̂‖/‖P̂‖ of each path; with --leave-one-out also that of the named paths (of all, without
a name) when they were not trained on, one training more for each. The figures of the card are interpolation on the
calibration paths, measured on points between those trained on: no path was kept back, and the card says so.
"""

import argparse
import json
import os
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import scipy.optimize  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import Dataset, DatasetCard, Scaling, Units  # noqa: E402
from pointlaw.laws import make_law, save_law  # noqa: E402
from pointlaw.networks import EnergyNetwork, build  # noqa: E402

OUT = Path(__file__).parent / "out"
PATHS = ("uniaxial", "biaxial", "planar", "shear", "volumetric")
MODELS = {
    "symmetrised": ("energy_symmetrised", {"hidden": [32, 12], "norms": 12}),
    "invariants": ("energy_cubic", {"hidden": [16], "orbits": ["100", "111"]}),
    "edges": ("energy_cubic", {"hidden": [16], "orbits": ["100"]}),
}
REST = np.eye(3).reshape(9)
NEAR = 0.06  # largest component of F − I up to which every point of a path is trained on
EVERY = 4  # beyond, one point of so many is trained on
STEPS = 12  # of a branch of a path in the dataset of the figures
KEPT_BACK = "interpolation on the calibration paths; no path was kept back"
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


def train(network: EnergyNetwork, paths: Paths, scale: float, seconds: float) -> None:
    """Minimise the mean over paths of ‖P − P̂‖²/‖P̂‖² until ``seconds`` have passed or nothing moves."""
    x, P, weight = [], [], []
    for F, stress in paths.values():
        taken, count = chosen(F)
        x.append(F[taken] - REST)
        P.append(stress[taken] / scale)
        w = np.sqrt(count[taken])
        weight.append(w / np.linalg.norm(w[:, None] * P[-1]) / len(paths) ** 0.5)
    X, T, W = (torch.tensor(np.concatenate(part)) for part in (x, P, weight))
    answer_at, evaluations, begin_cpu = network.at(X), 0, time.process_time()
    parameters, begin = list(network.parameters()), time.perf_counter()
    best: list = [np.inf, torch.nn.utils.parameters_to_vector(parameters).detach().clone()]

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations
        evaluations += 1
        torch.nn.utils.vector_to_parameters(torch.tensor(vector), parameters)
        value = ((answer_at() - T) * W[:, None]).square().sum()
        if not torch.isfinite(value):
            return 1e10, np.zeros_like(vector)
        slopes = torch.autograd.grad(value, parameters)
        if value.item() < best[0]:
            best[:] = value.item(), torch.tensor(vector)
        if time.perf_counter() - begin > seconds:
            raise TimeoutError
        return value.item(), torch.cat([slope.reshape(-1) for slope in slopes]).numpy()

    options = {"maxcor": 100, "maxiter": 10**6, "maxfun": 10**6, "ftol": 1e-12, "gtol": 1e-12}
    try:
        for _ in range(50):  # a line search that fails starts again without its memory
            answer = scipy.optimize.minimize(loss, best[1].numpy(), jac=True, method="L-BFGS-B", options=options)
            if answer.nit < 3:
                break
    except TimeoutError:
        pass
    torch.nn.utils.vector_to_parameters(best[1], parameters)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(
        f"{len(X)} points, {len(best[1])} weights: {evaluations} evaluations in {seconds:.0f} s "
        f"({evaluations / seconds:.0f} a second, {1e3 * cpu / evaluations:.1f} ms of processor each), "
        f"root of the loss {100 * best[0] ** 0.5:.2f} %",
        flush=True,
    )


def errors(network: EnergyNetwork, paths: Paths, scale: float) -> dict[str, float]:
    """Return ‖P − P̂‖/‖P̂‖ of each path."""
    answers = {}
    for name, (F, P) in paths.items():
        with torch.no_grad():
            found = network.scan(torch.tensor(F - REST)[None])[0].numpy() * scale
        answers[name] = float(np.linalg.norm(found - P) / np.linalg.norm(P))
    return answers


def fresh(model: str, seed: int) -> EnergyNetwork:
    """Return an untrained network."""
    torch.manual_seed(seed)
    network = build(*MODELS[model]).double()
    assert isinstance(network, EnergyNetwork)
    return network


def main() -> None:
    """Read the command line, train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=("X", "BCC"), required=True)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", choices=MODELS, default="symmetrised")
    parser.add_argument("--minutes", type=float, default=12.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave-one-out", nargs="*", choices=PATHS, metavar="PATH", help="without a name: every path")
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = read(given.data, given.cell)
    training, between = datasets(paths, given.cell)
    scaling = Scaling.fit(training, "physical")
    scale, begin = scaling.stress[0], time.perf_counter()
    network = fresh(given.model, given.seed)
    train(network, paths, scale, 60.0 * given.minutes)
    table = {"trained on": errors(network, paths, scale)}
    if given.leave_one_out is not None:
        table["left out"] = {}
        for left in given.leave_one_out or PATHS:
            other = fresh(given.model, given.seed)
            train(other, {name: path for name, path in paths.items() if name != left}, scale, 60.0 * given.minutes)
            table["left out"][left] = errors(other, paths, scale)[left]
    print(f"{given.cell}, {given.model}: relative error of P in %, {time.perf_counter() - begin:.0f} s")
    print(" " * 12 + "".join(f"{name:>12}" for name in PATHS))
    for row, figures in table.items():
        print(
            f"{row:12}" + "".join(f"{100 * figures[name]:12.2f}" if name in figures else f"{'-':>12}" for name in PATHS)
        )
    law = make_law(
        network, scaling, name=f"lattice {given.cell}", training=training, kept_back=between, seed=given.seed,
        settings={
            "method": "L-BFGS on all points", "minutes": given.minutes, "error": table, "kept_back": KEPT_BACK,
        },
    )  # fmt: skip
    print(f"card: mean error {100 * law.card.figures.error_mean:.2f} % ({KEPT_BACK})")
    OUT.mkdir(exist_ok=True)
    out = given.out or OUT / f"lattice_{given.cell}.safetensors"
    save_law(out, law)
    (OUT / f"lattice_{given.cell}_{given.model}.json").write_text(json.dumps(table, indent=2))
    print(f"written: {out}")


if __name__ == "__main__":
    main()
