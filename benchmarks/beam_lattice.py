"""Mixed load paths of a lattice of slender struts, computed: what a law fitted to five simple paths makes of them.

The public lattice data have five simple paths (``benchmarks/lattice.py``). A law can follow all five and still err
between them, and nothing in the data tells. Here a cell like the public X is computed: struts along the diagonals of a
cube, as elastic rods that stretch, bend and buckle between rigid joints, periodic, with two constants, the stiffness in
tension and the one in bending. These are set by hand to follow the public paths; then the rods stand in for the cell on
paths on which there are no data.

    python benchmarks/beam_lattice.py [--powers 1 0.25 0] [--law benchmarks/out/lattice_X.safetensors]

Prints how far the rods are from the public data on the five paths; then, for energies fitted to the five paths of the
rods alone, with residuals weighted by each of ``--powers`` (see ``lattice.POWER``), the relative error of P on the five
and on mixed paths of the rods; then how far a law fitted to the public data is from the rods on the mixed paths.

A segment of rest length ``h`` and length ``l`` has the energy ``½ EA h ln²(l/h)``, two that meet at an angle ``φ`` have
``½ EI (2 tan ½φ)²/h`` (Bergou et al. 2008, doi 10.1145/1360612.1360662); they do not twist.
"""

import argparse
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, hessian

import lattice
from pointlaw.laws import load_law

SEGMENTS = 8  # of half a diagonal
UNEVEN = 1e-8  # force on the nodes, over EA: rods that are perfectly straight would not buckle
LOADS = np.arange(101) * 0.005  # as in the public data
FORCE, LARGEST = 1e-9, 1e-6  # over EA, on any node: wanted, below UNEVEN, and borne after MOST steps
MOST = 200
DIRECTIONS = {  # of the displacement gradient, and which of its components leave the cell free of stress
    "uniaxial": (((0, 0),), ((1, 1), (2, 2))),
    "biaxial": (((0, 0), (1, 1)), ((2, 2),)),
    "planar": (((0, 0),), ((2, 2),)),
    "shear": (((0, 1),), ()),
    "volumetric": (((0, 0), (1, 1), (2, 2)), ()),
}


@dataclass(frozen=True)
class Cell:
    """Constants of a cell of side one: bending stiffness over that in tension, and that in tension (Pa)."""

    bending: float
    tension: float


X = Cell(8.3e-4, 4900.0)


class Rods:
    """The rods of a cell; stresses are in units of the stiffness in tension.

    The unknowns are the nodes within the rods, the joint in the middle (the one at the corners moves with the cell),
    and the rotations of both joints.
    """

    def __init__(self, cell: Cell):
        self.corners = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=3)), dtype=torch.float64)
        length = 0.5 * math.sqrt(3.0)
        self.direction, self.h, self.bending = self.corners / length, length / SEGMENTS, cell.bending
        share = torch.linspace(0.0, 1.0, SEGMENTS + 1, dtype=torch.float64).view(1, -1, 1)
        self.nodes = self.corners[:, None] * share
        generator = torch.Generator().manual_seed(0)
        self.shape = (len(self.corners), SEGMENTS - 1, 3)
        self.push = UNEVEN * torch.randn(self.shape, generator=generator, dtype=torch.float64)
        self.unknowns = math.prod(self.shape) + 9

    def energy(self, q: Tensor, F: Tensor) -> Tensor:
        """Return the energy of the cell over ``EA`` for the unknowns ``q`` and the deformation gradient ``F[3, 3]``."""
        inner, shift, turns = q.split([self.unknowns - 9, 3, 6])
        inner = inner.view(self.shape)
        middle, ends = shift.expand(len(self.corners), 1, 3), (self.corners @ F.T)[:, None]
        x = torch.cat([middle, self.nodes[:, 1:-1] @ F.T + inner, ends], 1)
        segments = x[:, 1:] - x[:, :-1]
        length = segments.square().sum(2).sqrt()
        rotation = torch.linalg.matrix_exp(_skew(turns.view(2, 3)))  # of the middle joint and that at the corners
        held = torch.einsum("eij,rj->rei", rotation, self.direction)
        tangents = torch.cat([held[:, :1], segments / length[..., None], held[:, 1:]], 1)
        cosine = (tangents[:, 1:] * tangents[:, :-1]).sum(2)
        bent = 4.0 * (1.0 - cosine) / (1.0 + cosine)
        stretched = 0.5 * self.h * (length / self.h).log().square()
        half = torch.ones(SEGMENTS + 1, dtype=torch.float64)
        half[0] = half[-1] = 2.0  # from the joint to the middle of the first segment is half as far
        bending = 0.5 * self.bending * bent * half / self.h
        return stretched.sum() + bending.sum() - (self.push * inner).sum()

    def equilibrium(self, q: Tensor, F: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``q`` and ``F`` at a minimum near ``q``; ``F`` may change along the ``free[n, 3, 3]``.

        Newton's method with the curvature of every direction made positive, so that it leaves saddles.
        """
        y = torch.cat([q, torch.zeros(len(free), dtype=torch.float64)])

        def energy(y: Tensor) -> Tensor:
            return self.energy(y[: self.unknowns], F + torch.tensordot(y[self.unknowns :], free, 1))

        slope, curvature, value = grad(energy), hessian(energy), float(energy(y))
        for _ in range(MOST):
            g = slope(y)
            if float(g.abs().max()) < FORCE:
                break
            sizes, directions = torch.linalg.eigh(curvature(y))
            step = -directions @ ((directions.T @ g) / sizes.abs().clamp_min(1e-6))
            step *= min(1.0, 0.5 / float(step.norm()))
            decrease, share = float(g @ step), 1.0
            while not (trial := float(energy(y + share * step))) <= value + 1e-4 * share * decrease + 1e-15:
                share *= 0.5
                if share < 1e-8:
                    raise ArithmeticError(f"the rods found no equilibrium; the largest force is {float(g.abs().max())}")
            y, value = y + share * step, trial
        else:
            if float(g.abs().max()) > LARGEST:
                raise ArithmeticError(f"the rods found no equilibrium in {MOST} steps")
        return y[: self.unknowns], F + torch.tensordot(y[self.unknowns :], free, 1)

    def path(self, gradients: np.ndarray, free: tuple[tuple[int, int], ...] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Return ``F[t, 9]`` and ``P[t, 9]`` along gradients ``[t, 3, 3]`` of displacement; ``free`` entries adapt."""
        q, F, rows = torch.zeros(self.unknowns, dtype=torch.float64), torch.eye(3, dtype=torch.float64), []
        both = torch.zeros(min(len(free), 1), 3, 3, dtype=torch.float64)  # two free entries stay equal
        for place in free:
            both[0][place] = 1.0
        for gradient in gradients:
            now = torch.eye(3, dtype=torch.float64) + torch.tensor(gradient)
            for place in free:
                now[place] = F[place]
            q, F = self.equilibrium(q, now, both)
            rows.append((F.numpy().reshape(9).copy(), grad(self.energy, argnums=1)(q, F).numpy().reshape(9)))
        F_rows, P_rows = zip(*rows, strict=True)
        return np.array(F_rows), np.array(P_rows)


def _skew(v: Tensor) -> Tensor:
    """Return the matrices ``[n, 3, 3]`` that take the cross product with ``v[n, 3]``."""
    return torch.linalg.cross(v[:, None].expand(-1, 3, 3), torch.eye(3, dtype=v.dtype).expand(len(v), 3, 3)).mT


def closed_forms(cell: Cell) -> dict[str, float]:
    """Return the stress over what is known of it, when all struts are stretched and when all have buckled.

    Eight struts of length ``L = ½√3`` under ``F = λ 1`` have the energy ``4 L EA ln² λ``. They buckle under the load of
    Euler with hinged ends, ``π² EI/L²``, for the joints may turn.
    """
    rods, length = Rods(cell), 0.5 * math.sqrt(3.0)
    euler = math.pi**2 * cell.bending / length**2
    stretched = rods.path(0.1 * np.arange(4)[:, None, None] * np.eye(3))[1][-1, 0]
    buckled = rods.path(-0.25 * euler * np.arange(6)[:, None, None] * np.eye(3))[1][-1, 0]
    return {
        "stretched": float(stretched / (8.0 / 3.0 * length * math.log(1.3) / 1.3)),
        "buckled": float(buckled / (-8.0 / 3.0 * length * euler)),
    }


def simple_paths(rods: Rods, ends: dict[str, tuple[float, float]]) -> lattice.Paths:
    """Return the five paths from their most compressed to their most stretched point, as the public data have them."""
    answer = {}
    for name, (places, free) in DIRECTIONS.items():
        direction = np.zeros((3, 3))
        for place in places:
            direction[place] = 1.0
        branches = []
        for end in ends[name]:
            sizes = LOADS[abs(end) + 1e-9 >= LOADS]
            branches.append(
                rods.path(math.copysign(1.0, end) * sizes[:, None, None] * direction, free) if end else None
            )
        backwards, forwards = branches
        answer[name] = tuple(
            forwards[k] if backwards is None else np.concatenate([backwards[k][:0:-1], forwards[k]]) for k in (0, 1)
        )
    return answer


def mixed_paths(rods: Rods) -> lattice.Paths:
    """Return the mixed paths of ``benchmarks/lattice.py``."""
    share = np.linspace(0.0, 1.0, 41)[:, None, None]
    return {name: rods.path(share * np.array(gradient)) for name, gradient in lattice.MIXED.items()}


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return ‖found − wanted‖/‖wanted‖."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def against(rods: lattice.Paths, public: lattice.Paths) -> dict[str, dict[str, float]]:
    """Return how far the rods are from the public data, in compression and in tension, at the same load."""
    table = {}
    for name, (F, P) in rods.items():
        place = DIRECTIONS[name][0][0]
        column = 3 * place[0] + place[1]
        load, order = F[:, column] - lattice.REST[column], np.argsort(public[name][0][:, column])
        F_public, P_public = (array[order] for array in public[name])
        P_public = lattice.symmetric_part(F_public, P_public)
        P = lattice.symmetric_part(F, P)
        wanted = np.column_stack(
            [np.interp(load, F_public[:, column] - lattice.REST[column], P_public[:, k]) for k in range(9)]
        )
        table[name] = {
            side: relative(P[rows], wanted[rows]) if rows.any() else math.nan
            for side, rows in (("compression", load < -1e-9), ("tension", load > 1e-9))
        }
    return table


def main() -> None:
    """Read the command line, compute, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--powers", type=float, nargs="*", default=[1.0, 0.25])
    parser.add_argument("--minutes", type=float, default=2.0, help="of each fit")
    parser.add_argument("--law", type=Path, help="fitted to the public data")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cell, public = X, lattice.read(given.data, "X")
    rods, ends = Rods(cell), {}
    for name, (F, _) in public.items():
        load = (F - lattice.REST)[:, 3 * DIRECTIONS[name][0][0][0] + DIRECTIONS[name][0][0][1]]
        ends[name] = float(load.min()), float(load.max())
    simple = {name: (F, cell.tension * P) for name, (F, P) in simple_paths(rods, ends).items()}
    mixed = {name: (F, cell.tension * P) for name, (F, P) in mixed_paths(rods).items()}
    known = closed_forms(cell)
    print(f"stress over closed form: {known['stretched']:.6f} stretched, {known['buckled']:.3f} buckled")
    table = {"rods against data": against(simple, public)}
    lattice.show("rods/data", table["rods against data"])
    scale = float(np.sqrt(np.mean(np.square(np.concatenate([P for _, P in simple.values()])))))
    for power in given.powers:
        settings = argparse.Namespace(minutes=given.minutes, seed=0, starts=4, members=2, power=power)
        network, _ = lattice.ensemble(simple, scale, settings)
        rows = {name: {"error": relative(scale * lattice.answers(network, F), P)} for name, (F, P) in
                (simple | mixed).items()}  # fmt: skip
        table[f"power {power:g}"] = rows
        lattice.show(f"power {power:g}", rows)
    if given.law is not None:
        law = load_law(given.law)
        rows = {name: {"law/rods": relative(law.update(F, law.initial_state(len(F)), 1.0).stress, P)} for name, (F, P)
                in mixed.items()}  # fmt: skip
        table["law against rods"] = rows
        lattice.show("law/rods", rows)
    lattice.OUT.mkdir(exist_ok=True)
    (lattice.OUT / "beam_lattice.json").write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
