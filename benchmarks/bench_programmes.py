"""A learned law in the solver: 200 random load programmes of a two-element problem, beside its teacher.

The teacher is a composite (a volume element of elastic fibres in a J2 matrix, plane strain). Two quadrilaterals, held
on the left, are led on the right by smooth random displacements in one half of the programmes and by smooth random
tractions in the other; the tractions are bounded so that the teacher stays within the strains that were trained on.
The same steps go through the teacher, a physically recurrent network and an LSTM that learned from the same paths.
Counted are failed steps, Newton iterations beside those of the teacher, and the order of convergence.

    python benchmarks/bench_programmes.py                  200 programmes
    python benchmarks/bench_programmes.py --programmes 20  in a minute

The laws are trained once (some minutes) and kept under benchmarks/out. Goals for the physically recurrent network: no
failed step, iterations within one of the teacher's, observed order at least 1.8.
"""

import argparse
import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

from mpi4py import MPI  # noqa: E402

import dolfinx  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import sample  # noqa: E402
from pointlaw.fem import Displacement, MechanicsProblem, Traction, march  # noqa: E402
from pointlaw.laws import load_law, make_law, save_law  # noqa: E402
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain  # noqa: E402
from pointlaw.networks import build  # noqa: E402
from pointlaw.paths import gaussian_process  # noqa: E402
from pointlaw.rve import RVEMaterial, lattice_inclusions  # noqa: E402
from pointlaw.tensors import PLANE_STRAIN  # noqa: E402
from pointlaw.training import TrainConfig, fit  # noqa: E402

OUT = Path(__file__).parent / "out"
PATHS = {"steps": 60, "bound": 0.015, "correlation": 0.15, "kinematics": PLANE_STRAIN}
STEPS = 20  # of a programme
DISPLACEMENT = 0.028  # largest, over a length of 2
TRACTION = (280.0, 65.0)  # MPa, largest along and across the axis
TIGHT = 1e-12  # residual for the order; the others are solved to 1e-8

NETWORKS = {
    "physically_recurrent": (
        {"elements": 32, "seed": 0},
        TrainConfig(epochs=150, batch=16, learning_rate=0.03, patience=150, validation=0.1, precision="float64"),
    ),
    "lstm": ({"hidden": 64}, TrainConfig(epochs=500, batch=16, learning_rate=5e-3, patience=150, validation=0.1)),
}


def composite() -> RVEMaterial:
    """Return the teacher: one fibre in a periodic cell of 8 × 8 voxels."""
    phases = {
        "matrix": PlaneStrain(J2(E=70e3, nu=0.33, yield_stress=100.0, H=2000.0)),
        "inclusion": PlaneStrain(LinearElastic(E=400e3, nu=0.2)),
    }
    return RVEMaterial(lattice_inclusions("square", 0.3).mesh(8), phases, tolerance=1e-13)


def learned(name: str, teacher: RVEMaterial, *, anew: bool) -> Material:
    """Return the law of a network, trained now unless its file is there."""
    path = OUT / f"programmes_{name}.safetensors"
    if anew or not path.exists():
        training, kept_back = (
            sample(teacher, gaussian_process(n, seed=seed, **PATHS), teacher="square array of fibres, 30 %")
            for n, seed in ((60, 1), (20, 2))
        )
        sizes, config = NETWORKS[name]
        torch.manual_seed(0)
        report = fit(build(name, {"features": 3, "outputs": 3, **sizes}), training, config)
        law = make_law(report.network, report.scaling, name=name, training=training, kept_back=kept_back,
                       settings=config.record())  # fmt: skip
        save_law(path, law)
        print(f"{name}: {report.seconds:.0f} s of training, error {law.card.figures.error_mean:.2%}")
    return load_law(path)


@dataclass
class Programme:
    """Smooth random values at the ends of the steps; ``values[STEPS + 1, 2]``."""

    values: np.ndarray
    forced: bool

    @classmethod
    def draw(cls, number: int) -> "Programme":
        """Draw programme ``number``; odd ones are force-driven."""
        path = gaussian_process([number], seed=7, steps=STEPS, bound=1.0, correlation=0.15, kinematics=PLANE_STRAIN)
        shape = path.strain[0, :, :2]
        forced = number % 2 == 1
        return cls(shape * (np.array(TRACTION) if forced else DISPLACEMENT), forced)

    def problem(self, law: Material, rtol: float) -> MechanicsProblem:
        """Return the virgin two-element problem under this programme."""
        mesh = dolfinx.mesh.create_rectangle(
            MPI.COMM_SELF, [[0.0, 0.0], [2.0, 1.0]], [2, 1], cell_type=dolfinx.mesh.CellType.quadrilateral
        )
        x, y = ((lambda t, k=k: float(np.interp(t, range(STEPS + 1), self.values[:, k]))) for k in (0, 1))
        supports = [Displacement(lambda p: np.isclose(p[0], 0.0), x=0.0, y=0.0)]
        loads = []
        if self.forced:
            loads.append(Traction(lambda p: np.isclose(p[0], 2.0), [x, y]))
        else:
            supports.append(Displacement(lambda p: np.isclose(p[0], 2.0), x=x, y=y))
        return MechanicsProblem(mesh, law, supports=supports, loads=loads, rtol=rtol, atol=1e-14)


@dataclass
class Tally:
    """What a law did over all programmes."""

    iterations: dict[int, list[int]] = field(default_factory=dict)
    cuts: int = 0
    unfinished: int = 0
    orders: list[float] = field(default_factory=list)
    ends: dict[int, np.ndarray] = field(default_factory=dict)
    strain: float = 0.0
    seconds: float = 0.0

    def run(self, number: int, programme: Programme, law: Material, rtol: float) -> None:
        """Lead the law through a programme."""
        problem = programme.problem(law, rtol)
        begin = time.perf_counter()
        solution = march(problem, np.arange(1.0, STEPS + 1), observers=[], strict=False)
        self.seconds += time.perf_counter() - begin
        self.cuts += solution.stats.cuts
        self.unfinished += not solution.finished
        if rtol == TIGHT:
            self.orders += [order for report in solution.reports for order in observed_order(report.norms)]
            return
        at = {round(report.time): report.iterations for report in solution.reports}
        self.iterations[number] = [at.get(k, -1) for k in range(1, STEPS + 1)]
        self.ends[number] = problem.u.x.array.copy()
        for region in problem.regions.values():
            region.evaluate_local(1.0, tangent=False)
            if "strain" in law.state_layout:
                strain = region.history.committed[:, law.state_layout["strain"]]
                self.strain = max(self.strain, float(np.linalg.norm(strain, axis=1).max()))

    def mean(self, number: int) -> float:
        """Return the iterations of a programme over its steps that were solved."""
        return float(np.mean([k for k in self.iterations[number] if k >= 0]))


def observed_order(norms: list[float]) -> list[float]:
    """Return the order of the last three residuals that are above rounding, if there are three."""
    # The first norm belongs to supports that have not moved yet.
    above = [norm for norm in norms[1:] if norm > 3.0 * min(norms)]
    if len(above) < 3 or above[-2] > 0.03 * above[-3]:  # the last but one must be near enough to the solution
        return []
    a, b, c = above[-3:]
    return [float(np.log(c / b) / np.log(b / a))]


def summary(tally: Tally, teacher: Tally) -> dict[str, float]:
    """Return the figures of a law beside its teacher's."""
    pairs = [(a, b) for n in tally.iterations for a, b in zip(tally.iterations[n], teacher.iterations[n], strict=True)]
    solved = np.array([(a, b) for a, b in pairs if a >= 0 and b >= 0])
    difference = solved[:, 0] - solved[:, 1]
    beyond = solved[np.abs(difference) > 1]
    means = [tally.mean(n) - teacher.mean(n) for n in tally.iterations]
    gap = [np.linalg.norm(tally.ends[n] - u) / max(np.linalg.norm(u), 1e-12) for n, u in teacher.ends.items()]
    return {
        "steps": len(pairs),
        "cuts": tally.cuts,
        "unfinished": tally.unfinished,
        "iterations": float(np.mean([a for a, _ in pairs if a >= 0])),
        "within_one": float(np.mean(np.abs(difference) <= 1)),
        "beyond_one_in_one": int(np.count_nonzero(beyond.min(axis=1) == 1)),  # one of the two took a single iteration
        "beyond": len(beyond),
        "programme": float(np.abs(means).max()),  # largest difference of the mean over the steps of a programme
        "most_above": int(difference.max()),
        "most_below": int(difference.min()),
        "orders": len(tally.orders),
        "order": float(np.median(tally.orders)) if tally.orders else float("nan"),
        "order_10": float(np.quantile(tally.orders, 0.1)) if tally.orders else float("nan"),
        "displacement_gap": float(np.median(gap)),
        "seconds": tally.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programmes", type=int, default=200)
    parser.add_argument("--tight", type=int, default=20, help="programmes that are also solved tightly, for the order")
    parser.add_argument("--anew", action="store_true", help="train the laws again")
    options = parser.parse_args()
    logging.getLogger("pointlaw.fem.march").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    teacher = composite()
    laws: dict[str, Material] = {"teacher": teacher}
    laws |= {name: learned(name, teacher, anew=options.anew) for name in NETWORKS}
    tallies = {name: Tally() for name in laws}
    for number in range(options.programmes):
        programme = Programme.draw(number)
        for name, law in laws.items():
            tallies[name].run(number, programme, law, 1e-8)
            if number < options.tight:
                tallies[name].run(number, programme, law, TIGHT)
    table = {name: summary(tally, tallies["teacher"]) for name, tally in tallies.items()}
    print(f"{options.programmes} programmes of {STEPS} steps, half of them force-driven; largest strain of the teacher "
          f"{tallies['teacher'].strain:.2%}, of the training {PATHS['bound']:.2%}")  # fmt: skip
    print(f"{'law':<22}{'cuts':>6}{'unfinished':>12}{'Newton':>8}{'within ±1':>11}{'others (1 to 3)':>16}{'most':>8}"
          f"{'of a programme':>16}{'order':>7}{'10 %':>6}{'of':>5}{'displacement':>14}{'seconds':>9}")  # fmt: skip
    for name, row in table.items():
        print(f"{name:<22}{row['cuts']:>6}{row['unfinished']:>12}{row['iterations']:>8.2f}{row['within_one']:>11.2%}"
              f"{row['beyond']:>8} ({row['beyond_one_in_one']:>5})"
              f"{row['most_below']:>+5d}/{row['most_above']:>+d}{row['programme']:>16.2f}"
              f"{row['order']:>7.2f}{row['order_10']:>6.2f}{row['orders']:>5}"
              f"{row['displacement_gap']:>13.2%}{row['seconds']:>9.1f}")  # fmt: skip
    (OUT / "programmes.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
