"""How close can a polyconvex energy come to measured stresses? A convex programme that answers before any training.

An energy is polyconvex when it is a convex function of ``F``, ``cof F`` and ``det F``. A finite convex function with
given slopes at given points exists if and only if no point lies below the plane that another one carries. So the best
stresses ``P = A + B×F + c cof F`` of all polyconvex energies are the solution of a quadratic programme for the values
``W`` and the slopes ``(A, B, c)`` at the points. Objectivity and material symmetry ask the same of all images
``Q F R``. Of their infinitely many inequalities those that are violated are added until there are none: the rotation
``Q`` which violates most is the polar factor of a 3×3 matrix.

The misfit of the solution is a lower bound for whatever network of such energies is trained, and for any data of which
the points are a part. Definition: Ball 1976, doi 10.1007/BF00279992.

Where the moduli ``∂P/∂F`` are known too, one point tells already: the second derivative of a polyconvex energy is not
negative once that of a fitting ``B:cof F + c det F`` is taken off, a semidefinite programme of ten unknowns.
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, vstack

from pointlaw.errors import InputError, PointlawError
from pointlaw.materials.hyperelastic import cofactors
from pointlaw.tensors import Array

SAME = 1e-9  # to which two images of a strain are the same
NEAREST = 30  # planes each point begins with, at its nearest images
ADDED = 40  # planes a point may add in a round
ROUNDS = 200  # of which a few, or a few dozen, are needed
RIDGE = 1e-7  # on the slopes, in units of their scale: of those with one stress the smallest


@dataclass(frozen=True)
class PolyconvexFit:
    """The stresses of polyconvex energies that are closest to given ones.

    Attributes
    ----------
    stress : [p, 9]
        First Piola–Kirchhoff stress, in the unit of the given one.
    energy : [p]
        Energy density, up to a constant, in the same unit.
    violation : float
        By how much a point lies below a plane at most, relative to the range of the energies.
    planes, rounds : int
        Inequalities of the last programme, and how many programmes were solved.
    """

    stress: Array
    energy: Array
    violation: float
    planes: int
    rounds: int


def closest_polyconvex(
    F: Array, P: Array, *, rotations: Array | None = None, weight: Array | None = None, tolerance: float = 1e-6
) -> PolyconvexFit:
    """Return the closest stresses that an objective polyconvex energy can have at all points at once.

    Parameters
    ----------
    F, P : [p, 9]
        Deformation gradients and first Piola–Kirchhoff stresses, row by row. A few hundred points take seconds.
    rotations : [g, 3, 3], optional
        The group of the material symmetry; without it none is asked for.
    weight : [p], optional
        Of the squared difference at a point.
    tolerance : float
        Of the violated inequalities, relative to the range of the energies.

    Raises
    ------
    InputError
        When the shapes do not fit, a number is not finite, a ``det F`` is not positive, a weight is negative, the
        rotations are none or miss the identity, or Clarabel is missing.
    PointlawError
        When the programme has no solution within ``ROUNDS`` rounds.
    """
    F, P, weight = _checked(F, P, weight)
    group = _group(rotations)
    # An objective energy knows the stretch U of F = R U alone, and its stress turns along. All points are looked at
    # unturned: then the planes that the programme begins with are near those that count, whoever measured.
    turns, _ = _furthest(F)
    F, P = turns.swapaxes(1, 2) @ F, _turned(turns.swapaxes(1, 2), P)
    size = float(np.sqrt(np.mean(P**2))) or 1.0
    weight = weight / (float(weight @ np.square(P / size).sum(1)) or 1.0)
    programme = _Programme([_Point(f, p / size, w, group) for f, p, w in zip(F, P, weight, strict=True)])
    for rounds in range(1, ROUNDS + 1):
        programme.solve()
        violation, added = programme.separate(tolerance)
        if not added:
            stress = _turned(turns, np.array([point.stress for point in programme.points]))
            return PolyconvexFit(size * stress, size * programme.energies(), violation, programme.planes, rounds)
    raise PointlawError(
        f"{ROUNDS} rounds left inequalities violated by {violation:.1e} of the range of the energies; give fewer "
        f"points than {len(F)}, or a larger tolerance than {tolerance:g}"
    )


def polyconvex_margin(moduli: Array) -> Array:
    """Return the least curvature ``[p]`` that the energy has at points once the best null Lagrangian is taken off.

    Where it is negative the energy is not polyconvex; that it is nowhere negative is necessary, not sufficient. It is
    at most the smallest eigenvalue of the acoustic tensor over all directions.

    Parameters
    ----------
    moduli : [p, 9, 9]
        ``∂P/∂F`` at each point, unit of stress; of an energy, so symmetric.

    Raises
    ------
    InputError
        When the shape does not fit, a number is not finite, or Clarabel is missing.
    PointlawError
        When a programme finds no solution.
    """
    moduli = np.asarray(moduli, float)
    if moduli.ndim != 3 or moduli.shape[1:] != (9, 9) or not np.isfinite(moduli).all():
        raise InputError(f"finite moduli[p, 9, 9] are needed; got the shape {moduli.shape}, or a number that is none")
    clarabel = _clarabel()
    unit = np.eye(9)
    # Second derivatives of B:cof F + c det F along H are 2 G:cof H, with any G = B + c F: third derivatives of det F,
    # the same in whatever order.
    null = np.array([_cross(row.reshape(3, 3)) for row in unit])
    columns = csc_array(np.stack([_packed(matrix) for matrix in (*null, unit)], 1))
    goal = np.r_[np.zeros(9), -1.0]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    margins = np.zeros(len(moduli))
    for k, matrix in enumerate(moduli):
        size = float(np.abs(matrix).max()) or 1.0
        side, cones = _packed(0.5 * (matrix + matrix.T) / size), [clarabel.PSDTriangleConeT(9)]
        answer = clarabel.DefaultSolver(csc_array((10, 10)), goal, columns, side, cones, settings).solve()
        if "Solved" not in str(answer.status):
            raise PointlawError(f"the programme of point {k} ended with the status {answer.status}")
        margins[k] = size * answer.x[-1]
    return margins


def _packed(matrix: Array) -> Array:
    """Return the upper half of a symmetric matrix, column by column, as a vector of the same norm."""
    columns, rows = np.tril_indices(len(matrix))
    return matrix[rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def _clarabel() -> ModuleType:
    """Return the solver of convex programmes."""
    try:
        import clarabel
    except ImportError as error:
        raise InputError("what polyconvexity allows needs Clarabel: pip install pointlaw[limit]") from error
    return clarabel


def _checked(F: Array, P: Array, weight: Array | None) -> tuple[Array, Array, Array]:
    F, P = np.asarray(F, float), np.asarray(P, float)
    w = np.ones(len(F)) if weight is None else np.asarray(weight, float)
    if F.ndim != 2 or F.shape[1] != 9 or P.shape != F.shape or w.shape != F.shape[:1]:
        raise InputError(f"F[p, 9], P[p, 9] and weight[p] are needed; got shapes {F.shape}, {P.shape} and {w.shape}")
    F = F.reshape(-1, 3, 3)
    for name, values in (("F", F), ("P", P), ("weight", w)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} has {np.count_nonzero(~np.isfinite(values))} numbers that are not finite")
    J = np.linalg.det(F)
    if len(F) == 0 or J.min() <= 0.0:
        raise InputError(f"every det F must be positive; the least of {len(F)} points is {J.min(initial=0.0):g}")
    if w.min() < 0.0:
        raise InputError(f"no weight may be negative; the least of {len(w)} is {w.min():g}")
    return F, P, w


def _group(rotations: Array | None) -> Array:
    if rotations is None:
        return np.eye(3)[None]
    group = np.asarray(rotations, float)
    if group.ndim != 3 or group.shape[1:] != (3, 3):
        raise InputError(f"rotations[g, 3, 3] are needed; got the shape {group.shape}")
    turns = np.abs(group @ group.swapaxes(1, 2) - np.eye(3)).max() < SAME and (np.linalg.det(group) > 0.0).all()
    if not turns or not (np.abs(group - np.eye(3)).max((1, 2)) < SAME).any():
        raise InputError("rotations must be a group: proper rotations, and the identity among them")
    return group


class _Point:
    """A point, the slopes that objectivity and symmetry leave it, and its images.

    The unknowns are ``(W, a[n], b[n], c)`` with ``A = Σ a_k basis_k`` and ``B = Σ b_k basis_k``.
    """

    def __init__(self, F: Array, P: Array, weight: float, group: Array):
        self.F, self.cof, self.J, self.P, self.weight = F, cofactors(F[None])[0], float(np.linalg.det(F)), P, weight
        C = F.T @ F
        turned = group @ C @ group.swapaxes(1, 2)
        own = group[np.abs(turned - C).max((1, 2)) < SAME]
        self.basis = _shared(F, own)  # [n, 3, 3]
        flat = self.basis.reshape(-1, 9).T
        self.to_stress = np.c_[flat, _cross(F) @ flat, self.cof.reshape(9)]  # [9, 2n + 1]
        both = [self.basis @ F.T, self.basis @ self.cof.T]
        skew = np.concatenate([m - m.swapaxes(1, 2) for m in both])[:, [1, 2, 0], [2, 0, 1]]
        self.moments = np.c_[skew.T, np.zeros((3, 1))]  # [3, 2n + 1]; objectivity: zero times the slopes
        distinct = np.unique((turned / SAME).round().astype(np.int64).reshape(-1, 9), axis=0, return_index=True)[1]
        values, vectors = np.linalg.eigh(turned[distinct])
        self.images = (vectors * np.sqrt(values)[:, None]) @ vectors.swapaxes(1, 2)  # [m, 3, 3], one of each Q F R
        self.slopes = np.zeros(self.to_stress.shape[1])
        self.energy = 0.0

    @property
    def stress(self) -> Array:
        return self.to_stress @ self.slopes

    def planes(self, F: Array, cof: Array, J: Array) -> Array:
        """Return rows ``[m, 2n + 2]`` that give, times the unknowns, the plane of this point at ``F[m, 3, 3]``."""
        flat = self.basis.reshape(-1, 9).T
        steps = [(F - self.F).reshape(-1, 9) @ flat, (cof - self.cof).reshape(-1, 9) @ flat]
        return np.c_[np.ones(len(F)), steps[0], steps[1], J - self.J]


class _Programme:
    """Minimise the weighted squares of the stresses' differences over planes that no point lies below."""

    def __init__(self, points: list[_Point]):
        self.points = points
        sizes = [2 + 2 * len(point.basis) for point in points]
        self.first = np.r_[0, np.cumsum(sizes)]
        self.whose = np.repeat(np.arange(len(points)), [len(point.images) for point in points])
        self.F = np.concatenate([point.images for point in points])
        self.cof, self.J = cofactors(self.F), np.linalg.det(self.F)
        self.parts: list[csc_array] = []
        for i, point in enumerate(points):
            distance = np.square(self.F - point.F).sum((1, 2))
            distance[self.whose == i] = np.inf  # a plane asks nothing of its own point
            self.add(i, np.argsort(distance)[: min(NEAREST, len(points) - 1)], np.broadcast_to(np.eye(3), self.F.shape))

    @property
    def planes(self) -> int:
        """The number of inequalities."""
        return sum(part.shape[0] for part in self.parts)

    def energies(self) -> Array:
        """Return the values ``[p]`` of the last solution."""
        return np.array([point.energy for point in self.points])

    def add(self, i: int, images: NDArray[np.intp], Q: Array) -> None:
        """Ask that the images ``Q[m] F[m]`` do not lie below the plane of point ``i``."""
        rows = self.points[i].planes(Q[images] @ self.F[images], Q[images] @ self.cof[images], self.J[images])
        n, columns = len(images), np.arange(self.first[i], self.first[i + 1])
        rows_at = np.repeat(np.arange(n), rows.shape[1] + 1)
        columns_at = np.c_[np.broadcast_to(columns, rows.shape), self.first[self.whose[images]]].reshape(-1)
        values = np.c_[rows, -np.ones(n)].reshape(-1)
        self.parts.append(csc_array((values, (rows_at, columns_at)), shape=(n, self.first[-1])))

    @cached_property
    def squares(self) -> tuple[csc_array, Array]:
        """The matrix (upper half) and the vector of the quadratic function."""
        rows, columns, values, vector = [], [], [], np.zeros(self.first[-1])
        for point, first in zip(self.points, self.first[:-1], strict=True):
            n = len(point.slopes)
            matrix = 2.0 * (point.weight * point.to_stress.T @ point.to_stress + RIDGE * np.eye(n))
            i, j = np.triu_indices(n)
            rows.append(first + 1 + i)
            columns.append(first + 1 + j)
            values.append(matrix[i, j])
            vector[first + 1 : first + 1 + n] = -2.0 * point.weight * point.to_stress.T @ point.P
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return csc_array(entries, shape=(self.first[-1],) * 2), vector

    @cached_property
    def equations(self) -> csc_array:
        """Rows that vanish times the unknowns: the first energy is zero, and the moments are symmetric."""
        rows, columns, values = [np.zeros(1, int)], [np.zeros(1, int)], [np.ones(1)]
        for k, (point, first) in enumerate(zip(self.points, self.first[:-1], strict=True)):
            i, j = np.nonzero(np.abs(point.moments) > SAME)
            rows.append(1 + 3 * k + i)
            columns.append(first + 1 + j)
            values.append(point.moments[i, j])
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return csc_array(entries, shape=(1 + 3 * len(self.points), self.first[-1]))

    def solve(self) -> None:
        """Solve the programme with the planes of the moment, and tell the points."""
        clarabel = _clarabel()
        matrix, vector = self.squares
        equations, inequalities = self.equations, vstack(self.parts)
        cones = [clarabel.ZeroConeT(equations.shape[0]), clarabel.NonnegativeConeT(inequalities.shape[0])]
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        sides = np.zeros(equations.shape[0] + inequalities.shape[0])
        system = vstack([equations, inequalities]).tocsc()
        answer = clarabel.DefaultSolver(matrix, vector, system, sides, cones, settings).solve()
        if "Solved" not in str(answer.status):
            raise PointlawError(f"the programme of {self.planes} planes ended with the status {answer.status}")
        for point, part in zip(self.points, np.split(np.array(answer.x), self.first[1:-1]), strict=True):
            point.energy, point.slopes = float(part[0]), part[1:]

    def separate(self, tolerance: float) -> tuple[float, int]:
        """Add the planes that are violated most; return the largest violation and how many were added."""
        energies = self.energies()
        scale = float(np.ptp(energies)) or 1.0
        worst, added = 0.0, 0
        for i, point in enumerate(self.points):
            n = len(point.basis)
            A, B = (np.tensordot(s, point.basis, 1) for s in (point.slopes[:n], point.slopes[n : 2 * n]))
            Q, gain = _furthest(A @ self.F.swapaxes(1, 2) + B @ self.cof.swapaxes(1, 2))
            here = point.energy - np.sum(A * point.F) - np.sum(B * point.cof) - point.slopes[-1] * point.J
            below = (here + gain + point.slopes[-1] * self.J - energies[self.whose]) / scale
            worst = max(worst, float(below.max()))
            images = np.argsort(-below)[:ADDED]
            images = images[below[images] > tolerance]
            if len(images):
                self.add(i, images, Q)
                added += len(images)
        return worst, added


def _furthest(M: Array) -> tuple[Array, Array]:
    """Return the rotations ``Q[m]`` with the largest ``Q:M[m]``, and these values."""
    U, sizes, V = np.linalg.svd(M)
    sign = np.sign(np.linalg.det(U @ V))
    U[..., 2] *= sign[..., None]
    sizes[..., 2] *= sign
    return U @ V, sizes.sum(-1)


def _turned(Q: Array, P: Array) -> Array:
    """Return ``Q[p] P[p]`` as rows ``[p, 9]``."""
    return (Q @ P.reshape(-1, 3, 3)).reshape(-1, 9)


def _cross(F: Array) -> Array:
    """Return the matrix ``[9, 9]`` that takes ``B`` to ``∂(B:cof F)/∂F``, which is linear in ``F``."""
    unit = np.eye(9).reshape(9, 3, 3)
    change = 0.5 * (cofactors(F + unit) - cofactors(F - unit))  # exact: the cofactor is quadratic
    return change.reshape(9, 9)


def _shared(F: Array, own: Array) -> Array:
    """Return a basis ``[n, 3, 3]`` of the slopes that keep their plane under ``Q F R = F`` for all ``R`` of ``own``."""
    Q = F @ own.swapaxes(1, 2) @ np.linalg.inv(F)
    unit = np.eye(9).reshape(9, 3, 3)
    kept = np.mean(Q.swapaxes(1, 2)[:, None] @ unit @ own.swapaxes(1, 2)[:, None], axis=0).reshape(9, 9)
    U, sizes, _ = np.linalg.svd(kept.T)
    return U[:, sizes > 0.5].T.reshape(-1, 3, 3)
