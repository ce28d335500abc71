"""Beams of a periodic cell, batched over load paths: they stretch, shear, bend, twist and buckle between stiff joints.

Two-node elements of geometrically exact beams (Simo 1985, doi 10.1016/0045-7825(85)90050-7) with one point of
integration. The relative rotation of the nodes of an element is its curvature and the mean of their rotations its
frame, so a rigid rotation strains nothing (Crisfield & Jelenić 1999, doi 10.1098/rspa.1999.0352). An element of rest
length ``h`` whose axis has the stretch ``λ``, the shear angle ``γ`` and the curvature ``κ`` per rest length stores,
over ``EA``,

    ``h [ a(λ) + ½ k tan²γ + ½ λ^−p (d₁ κ₁² + d (κ₂² + κ₃²)) ]``  with  ``a′ = ln λ / λ^b``:

a logarithmic law in tension whose section thins (``b = 1`` for an incompressible one); the ends of a strut, within the
joints, are stiffer by a factor each in tension and in the rest. Unknown are displacement and
rotation of the nodes, periodic from cell to cell; rotations are quaternions, updated after every load step.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

POISSON, SHEAR = 0.5, 0.89  # of the material; and what of a round section carries shear
ELEMENTS = 6  # of a strut between its joints
UNEVEN = 3e-5  # force on the nodes, over EA: beams that are perfectly straight would not buckle
FORCE, LARGEST = 1e-8, 1e-6  # over EA, on any node: wanted, and borne where rounding stops the iteration
MOST = 60  # iterations
FARTHEST = 0.15  # any unknown in an iteration
SPIN = 2.0  # largest rotation in a load step, radians: up to it the series in _rotation are exact to 3e-5
SOFTEST = 1e-5  # least curvature of the energy that an unstable direction is given
JOINTS = 9  # unknowns of the joints: the middle moves and turns, the corner turns


@dataclass(frozen=True)
class Cell:
    """Constants of a cell of side one.

    Attributes
    ----------
    edges : bool
        Whether there are struts along the edges of the cube beside its diagonals.
    tension : float
        ``EA`` over the area of a face, Pa.
    radius : float
        Of the section.
    joint : float
        Length of the stiff ends; 0 for none.
    joint_tension, joint_bending : float
        How much stiffer these are, the second in bending, twist and shear.
    thinning : float
        Exponent ``b`` of the law in tension.
    softening : float
        Exponent ``p``: positive if a stretched beam bends more easily, negative if less.
    """

    edges: bool
    tension: float
    radius: float
    joint: float
    joint_tension: float
    joint_bending: float
    thinning: float
    softening: float


class Beams:
    """The beams of a cell; stresses are in units of ``EA``."""

    def __init__(self, cell: Cell, elements: int = ELEMENTS, uneven: float = UNEVEN):
        self.cell = cell
        second = cell.radius**2 / 4.0  # moment of area over area
        self.bending, self.twist, self.shear = second, second / (1.0 + POISSON), 0.5 * SHEAR / (1.0 + POISSON)
        corner, middle = np.full(3, -0.5), np.zeros(3)
        struts = [(0, 1, middle, np.array(end)) for end in itertools.product((-0.5, 0.5), repeat=3)]
        if cell.edges:
            struts += [(1, 1, corner, corner + side) for side in np.eye(3)]
        parts, self.nodes = [], 2  # the joint in the middle, the one at the corners
        for first, last, begin, end in struts:
            parts.append(self._strut(first, last, begin, end, elements))
        ends, vectors, lengths, joints, frames = zip(*parts, strict=True)
        self.ends, self.vectors = torch.tensor(np.concatenate(ends)), torch.tensor(np.concatenate(vectors))
        self.lengths, self.joints = torch.tensor(np.concatenate(lengths)), torch.tensor(np.concatenate(joints))
        self.frames = torch.tensor(np.concatenate(frames))
        self.places = torch.cat([6 * self.ends[:, [k]] + torch.arange(6) for k in (0, 1)], 1)  # [e, 12]
        corner_moves = range(6, 9)  # with the cell: no unknowns
        self.free = torch.tensor([place for place in range(6 * self.nodes) if place not in corner_moves])
        self.struts = len(struts)
        self.entries = self._entries()
        generator = torch.Generator().manual_seed(0)
        push = torch.zeros(self.nodes, 6, dtype=torch.float64)
        push[2:, :3] = uneven * torch.randn(self.nodes - 2, 3, generator=generator, dtype=torch.float64)
        self.push = push.reshape(-1)
        self._energies, self._forces = vmap(self._energy), vmap(grad(self._energy))
        # Twice backward: of forward mode the dispatch alone costs more than a few cells do.
        self._curvatures, self._by_vector = vmap(jacrev(grad(self._energy))), vmap(grad(self._energy, argnums=1))
        self._by_both = vmap(jacrev(grad(self._energy, argnums=(0, 1)), argnums=(0, 1)))

    def _strut(
        self, first: int, last: int, begin: np.ndarray, end: np.ndarray, elements: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return nodes ``[e, 2]``, vectors ``[e, 3]``, lengths, joint or not, frames ``[e, 4]`` of its elements."""
        length, joint = float(np.linalg.norm(end - begin)), self.cell.joint
        inner = joint + (length - 2.0 * joint) * np.arange(elements + 1) / elements
        places = inner if joint == 0.0 else np.concatenate([[0.0], inner, [length]])
        between = self.nodes + np.arange(len(places) - 2)
        self.nodes += len(between)
        nodes = np.concatenate([[first], between, [last]])
        parts = np.diff(places) / length
        axis = (end - begin) / length
        frame = np.array([1.0 + axis[0], 0.0, -axis[2], axis[1]])  # turns the first base vector into the axis
        frame /= np.linalg.norm(frame)
        stiff = np.zeros(len(parts), dtype=bool)
        stiff[[0, -1]] = joint > 0.0
        return (
            np.stack([nodes[:-1], nodes[1:]], 1), parts[:, None] * (end - begin), parts * length, stiff,
            np.tile(frame, (len(parts), 1)),
        )  # fmt: skip

    def _energy(
        self, moves: Tensor, vector: Tensor, first: Tensor, last: Tensor, frame: Tensor, h: Tensor, joint: Tensor
    ) -> Tensor:
        """Return the energy of an element for the ``moves[12]`` of its nodes.

        ``vector[3]`` is ``F`` times its rest vector, ``first`` and ``last`` the rotations of its nodes before.
        """
        cell = self.cell
        axis = (vector + moves[6:9] - moves[:3]) / h
        one, other = _product(_rotation(moves[3:6]), first), _product(_rotation(moves[9:]), last)
        mean = one + other
        local = _turned_back(_product(mean / mean.square().sum().sqrt(), frame), axis)
        stretch = 0.5 * axis.square().sum().log()
        rest = 1.0 - cell.thinning
        tension = 0.5 * stretch**2  # for b = 1
        if rest != 0.0:
            tension = (1.0 + torch.exp(rest * stretch) * (rest * stretch - 1.0)) / rest**2
        half = _product(torch.cat([one[:1], -one[1:]]), other)[1:]  # half the angle, in the length of its sine
        size = half.square().sum()
        curvature = _turned_back(frame, 2.0 * half * (1.0 + size / 6.0 + 3.0 * size**2 / 40.0) / h)
        bent = self.twist * curvature[0] ** 2 + self.bending * curvature[1:].square().sum()
        sheared = self.shear * (local[1] ** 2 + local[2] ** 2) / local[0] ** 2
        in_tension = torch.where(joint, cell.joint_tension, 1.0)
        in_bending = torch.where(joint, cell.joint_bending, 1.0)
        return h * (in_tension * tension + 0.5 * in_bending * (sheared + bent * torch.exp(-cell.softening * stretch)))

    def _elements(self, u: Tensor, F: Tensor, turns: Tensor) -> tuple[Tensor, ...]:
        """Return the arguments of :meth:`_energy` for all elements of all cells, ``[b·e, ...]``."""
        b, e = len(u), len(self.lengths)
        vectors = torch.einsum("bij,ej->bei", F, self.vectors).reshape(b * e, 3)
        first, last = (turns[:, self.ends[:, k]].reshape(-1, 4) for k in (0, 1))
        same = (values.expand(b, *values.shape).flatten(0, 1) for values in (self.frames, self.lengths, self.joints))
        return u[:, self.places].reshape(-1, 12), vectors, first, last, *same

    def energy(self, u: Tensor, F: Tensor, turns: Tensor) -> Tensor:
        """Return the energy ``[b]`` for unknowns ``u[b, n]``, ``F[b, 3, 3]`` and rotations ``turns[b, nodes, 4]``."""
        return self._energies(*self._elements(u, F, turns)).view(len(u), -1).sum(1) - u @ self.push

    def forces(self, u: Tensor, F: Tensor, turns: Tensor) -> Tensor:
        """Return the derivatives ``[b, free]`` of the energy by the unknowns."""
        parts = self._forces(*self._elements(u, F, turns)).reshape(len(u), -1)
        return (torch.zeros_like(u).index_add_(1, self.places.reshape(-1), parts) - self.push)[:, self.free]

    def _entries(self) -> Tensor:
        """Return where the second derivatives of the elements, ``[e · 144]``, belong in a row of all of a cell.

        The row has the blocks of :class:`Curvature`, one after the other, and a last place for what is not wanted:
        derivatives by what is held, and those that symmetry tells.
        """
        s, j = self.struts, JOINTS
        k = (len(self.free) - j) // s
        number = torch.full((6 * self.nodes,), -1)
        number[self.free] = torch.arange(len(self.free))
        rows, columns = torch.broadcast_tensors(*(number[self.places].unsqueeze(axis) for axis in (2, 1)))
        inner, other = rows - j, columns - j
        own = (inner // k) * k * k + (inner % k) * k + other % k
        across, joints = s * k * k + inner * j + columns, s * k * (k + j) + rows * j + columns
        entries = torch.where(inner < 0, joints, torch.where(other < 0, across, own))
        unwanted = (rows < 0) | (columns < 0) | ((inner < 0) & (other >= 0))
        return torch.where(unwanted, s * k * (k + j) + j * j, entries).reshape(-1)

    def curvature(self, u: Tensor, F: Tensor, turns: Tensor) -> "Curvature":
        """Return the second derivatives of the energy by the unknowns."""
        return self._gathered(self._curvatures(*self._elements(u, F, turns)).reshape(len(u), -1))

    def _gathered(self, parts: Tensor) -> "Curvature":
        """Return the blocks of the second derivatives ``[b, e · 144]`` of the elements."""
        b, s, j = len(parts), self.struts, JOINTS
        k = (len(self.free) - j) // s
        sizes = (s * k * k, s * k * j, j * j)
        row = torch.zeros(b, sum(sizes) + 1, dtype=parts.dtype).index_add_(1, self.entries, parts)
        own, across, joints, _ = row.split([*sizes, 1], 1)
        return Curvature(own.view(b, s, k, k), across.view(b, s, k, j), joints.view(b, j, j))

    def stress(self, u: Tensor, F: Tensor, turns: Tensor) -> Tensor:
        """Return the first Piola–Kirchhoff stress ``[b, 3, 3]``: the derivative of the energy by ``F``."""
        parts = self._by_vector(*self._elements(u, F, turns)).reshape(len(u), -1, 3)
        return torch.einsum("bei,ej->bij", parts, self.vectors)

    def settle(self, u: Tensor, F: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Return unknowns ``[b, n]`` in equilibrium near ``u``, and in which cells it was found, ``[b]``.

        Newton's method; where the energy is not convex, its curvature is made positive, so that it leaves saddles.
        """
        u, active = u.clone(), torch.arange(len(u))
        largest = torch.full((len(u),), math.inf, dtype=u.dtype)
        for _ in range(MOST):
            g = self.forces(u[active], F[active], turns[active])
            largest[active] = g.abs().amax(1)
            moving = largest[active] >= FORCE
            active, g = active[moving], g[moving]
            if len(active) == 0:
                break
            step = -self.curvature(u[active], F[active], turns[active]).divides(g.unsqueeze(2))[:, :, 0]
            step = step * (FARTHEST / step.abs().amax(1, keepdim=True)).clamp_max(1.0)
            u[active] = self._search(u[active], step, (g * step).sum(1), F[active], turns[active])
        return u, largest < LARGEST

    def _search(self, u: Tensor, step: Tensor, slope: Tensor, F: Tensor, turns: Tensor) -> Tensor:
        """Return ``u`` moved along ``step[b, free]``, as far as the energy falls as its ``slope[b]`` promises."""
        value, share, left = self.energy(u, F, turns), torch.ones_like(slope), torch.arange(len(u))
        answer, whole = u.clone(), torch.zeros_like(u)
        whole[:, self.free] = step
        for _ in range(20):
            trial = u[left] + share[left, None] * whole[left]
            allowed = value[left] + 1e-4 * share[left] * slope[left] + 1e-14
            falls = self.energy(trial, F[left], turns[left]) <= allowed
            answer[left[falls]] = trial[falls]
            left = left[~falls]
            if len(left) == 0:
                break
            share[left] *= 0.4
        return answer

    def at_rest(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the displacements ``[b, nodes, 3]`` and the rotations ``[b, nodes, 4]`` of undeformed cells."""
        shifts, turns = (torch.zeros(count, self.nodes, k, dtype=torch.float64) for k in (3, 4))
        turns[:, :, 0] = 1.0
        return shifts, turns

    def step(self, F: Tensor, shifts: Tensor, turns: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Go from an equilibrium to one at ``F[b, 3, 3]``.

        Returns the stress ``[b, 3, 3]``, where equilibrium was found, ``[b]``, and the displacements and rotations.
        """
        u, fine = self.settle(torch.nn.functional.pad(shifts, (0, 3)).flatten(1), F, turns)
        stress = self.stress(u, F, turns)
        shifts, spins = u.view(len(u), -1, 6).split(3, 2)
        fine = fine & (spins.norm(dim=2).amax(1) < SPIN)
        turns = _product(_rotation(spins), turns)
        return stress, fine, shifts, turns / turns.norm(dim=2, keepdim=True)

    def run(self, F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``P[b, t, 3, 3]`` along ``F[b, t, 3, 3]`` from rest on, and which points settled, ``[b, t]``."""
        stress, settled = np.zeros(F.shape), np.zeros(F.shape[:2], dtype=bool)
        where = self.at_rest(len(F))
        for t in range(F.shape[1]):
            P, fine, *where = self.step(torch.tensor(F[:, t]), *where)
            stress[:, t], settled[:, t] = P.numpy(), fine.numpy()
        self.last = where
        return stress, settled

    def moduli(self, F: Tensor, shifts: Tensor, turns: Tensor) -> Tensor:
        """Return ``∂P/∂F[b, 9, 9]`` in an equilibrium at ``F[b, 3, 3]``."""
        u, b = torch.nn.functional.pad(shifts, (0, 3)).flatten(1), len(F)
        (by_moves, crossed), (_, by_vector) = self._by_both(*self._elements(u, F, turns))
        rest = self.vectors
        crossed = torch.einsum("beui,ej->beuij", crossed.view(b, -1, 12, 3), rest).flatten(3).flatten(1, 2)
        forces = torch.zeros(b, 6 * self.nodes, 9, dtype=u.dtype).index_add_(1, self.places.reshape(-1), crossed)
        forces = forces[:, self.free]
        direct = torch.einsum("beik,ej,el->bijkl", by_vector.view(b, -1, 3, 3), rest, rest).reshape(b, 9, 9)
        return direct - forces.mT @ self._gathered(by_moves.reshape(b, -1)).divides(forces)


class Curvature(NamedTuple):
    """Second derivatives of the energy of ``b`` cells; ``s`` struts, which meet at the joints alone.

    Attributes
    ----------
    struts : [b, s, k, k]
        By the unknowns inside a strut.
    across : [b, s, k, j]
        By these and by the unknowns of the joints.
    joints : [b, j, j]
        By the unknowns of the joints.
    """

    struts: Tensor
    across: Tensor
    joints: Tensor

    def divides(self, right: Tensor) -> Tensor:
        """Return the solution ``[b, j + s k, m]`` of the equations with the sides ``right``, joints first.

        The struts are eliminated. Where one of them, or what then is left of the joints, is not convex, its absolute
        value is taken: the whole is positive then.
        """
        (b, s, k, j), m = self.across.shape, right.shape[2]
        inner = _solved(self.struts, torch.cat([self.across, right[:, j:].reshape(b, s, k, m)], 3))
        reach, own = inner.split([j, m], 3)
        left = (self.across.mT @ inner).sum(1)
        of_joints = _solved(self.joints - left[:, :, :j], right[:, :j] - left[:, :, j:])
        return torch.cat([of_joints, (own - reach @ of_joints.unsqueeze(1)).reshape(b, s * k, m)], 1)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Return ``matrix[..., k, k]⁻¹ right[..., k, m]``; ``|matrix|`` where it is not positive."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    answer, bent = torch.cholesky_solve(right, factor), info != 0
    if bent.any():
        sizes, directions = torch.linalg.eigh(matrix[bent])
        answer[bent] = directions @ ((directions.mT @ right[bent]) / sizes.abs().clamp_min(SOFTEST).unsqueeze(-1))
    return answer


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the quaternion ``[..., 4]`` of the rotation ``b`` followed by ``a``."""
    a0, a1, b0, b1 = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = a0 * b0 - (a1 * b1).sum(-1, keepdim=True)
    return torch.cat([scalar, a0 * b1 + b0 * a1 + torch.linalg.cross(a1, b1)], -1)


def _rotation(vector: Tensor) -> Tensor:
    """Return the quaternion ``[..., 4]`` of a rotation vector of less than ``SPIN``: its series, smooth at zero."""
    size = 0.25 * vector.square().sum(-1, keepdim=True)
    cosine = 1.0 - size / 2.0 + size**2 / 24.0 - size**3 / 720.0
    return torch.cat([cosine, 0.5 * vector * (1.0 - size / 6.0 + size**2 / 120.0 - size**3 / 5040.0)], -1)


def _turned_back(turn: Tensor, vector: Tensor) -> Tensor:
    """Return ``vector[3]`` in the frame of the quaternion ``turn[4]``."""
    axis = -turn[1:]
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + turn[0] * twice + torch.linalg.cross(axis, twice)
