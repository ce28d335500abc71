"""Points dealt over the ranks by what they cost, for laws that are expensive at some points: volume elements.

A point belongs to the rank that owns its cell, but it may be answered anywhere, because a law is a pure function. Where
the plastic cells of a mesh lie on one rank, the others would wait for it in every evaluation; here they take points off
it. Strain and state travel there, the answer travels back; who answers makes no difference to the answer.
"""

from pointlaw.fem.mpi import MPI, agree  # isort: skip - MPI first

import heapq
from typing import Any

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import Material, Response
from pointlaw.materials.base import StatusArray
from pointlaw.materials.relax import tangent_of
from pointlaw.tensors import Array


class Balanced(Material):
    """A law whose points are dealt over the ranks of ``comm`` in every call.

    It must be the outermost law of a region, and other wrappers refuse it: every rank of ``comm`` calls :meth:`update`
    together, with the same ``dt`` and ``tangent``, also one that has no points. A
    :class:`~pointlaw.fem.region.Region` does so.

    Parameters
    ----------
    law : Material
        The law, alike on all ranks. If it has an ``effort`` (relative cost ``[p]`` of the rows of its last call, as
        :class:`~pointlaw.rve.RVEMaterial` has), points are dealt by what they cost last time (or half of what they
        were expected to, if that is more); otherwise evenly.
    comm
        Communicator of the ranks; ``COMM_WORLD`` unless given. Its copy carries the messages.

    Attributes
    ----------
    collective : bool
        True: a region calls it on every rank.
    moved : int
        Points of this rank that were answered elsewhere in the last call.
    answered : int
        Points that this rank answered in the last call.

    Notes
    -----
    A rank first keeps its most expensive points, up to the mean load; the others go, the most expensive first, to
    whoever has least to do. The largest load is above the mean by at most one point's cost, if costs stay as they were.
    An exception of the law on one rank is raised on all, and marked ``collective``.
    """

    collective = True

    def __init__(self, law: Material, comm: Any = None):
        if law.collective:
            raise InputError(f"Balanced: {type(law).__name__} is dealt over the ranks already.")
        self.law, self._comm = law, (MPI.COMM_WORLD if comm is None else comm).Dup()
        self.kinematics, self.state_layout, self.symmetric = law.kinematics, law.state_layout, law.symmetric
        self._effort = np.ones(0)
        self.moved = self.answered = 0

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, s]`` of the law; not collective."""
        return self.law.initial_state(points)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says of points of this rank; see :meth:`Material.reason`. Not collective."""
        return self.law.reason(state, status)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer for the points of this rank; see :meth:`Material.update`. Collective."""
        comm, n, m = self._comm, len(strain), self.kinematics.size
        if comm.size == 1:
            self.moved, self.answered = 0, n
            return self.law.update(strain, state, dt, tangent=tangent)
        effort = self._effort if len(self._effort) == n else np.ones(n)
        goes = deal(comm.allgather(effort))[comm.rank]
        there = np.flatnonzero(goes != comm.rank)
        there = there[np.argsort(goes[there], kind="stable")]
        self.moved = len(there)
        sent = np.bincount(goes[there], minlength=comm.size)
        visitors, counts = _exchange(comm, np.hstack([strain[there], state[there]]), sent)
        here = np.flatnonzero(goes == comm.rank)
        self.answered = len(here) + len(visitors)
        answers, factor = self._answer(
            np.concatenate([strain[here], visitors[:, :m]]),
            np.concatenate([state[here], visitors[:, m:]]),
            dt,
            tangent,
        )
        back, _ = _exchange(comm, answers[len(here) :], counts)
        mine = np.empty((n, answers.shape[1]))
        mine[here], mine[there] = answers[: len(here)], back
        # A step begins with an evaluation at the old strain, which costs little and must not be all that is remembered.
        self._effort = np.maximum(mine[:, m + self.state_layout.size + 1], 0.5 * effort)
        return self._unpack(mine, factor, tangent)

    def _answer(self, strain: Array, state: Array, dt: float, tangent: bool) -> tuple[Array, float]:
        """Return stress, state, status, effort and tangent of some points as rows, and the factor of all ranks."""
        rows, m, error = len(strain), self.kinematics.size, None
        answers = np.empty((rows, m + state.shape[1] + 2 + (m * m if tangent else 0)))
        factor = np.inf
        try:
            if rows:
                answer = self.law.update(strain, state, dt, tangent=tangent)
                known = getattr(self.law, "effort", None)
                effort = np.ones(rows) if known is None or len(known) != rows else np.asarray(known, dtype=float)
                effort = np.where(np.isfinite(effort) & (effort > 0.0), effort, 1.0)
                parts = [answer.stress, answer.state, np.asarray(answer.status)[:, None], effort[:, None]]
                if tangent:
                    parts.append(tangent_of(answer, self.law).reshape(rows, m * m))
                np.concatenate(parts, axis=1, out=answers)
                factor = answer.dt_factor
        except Exception as caught:  # whatever a law raises, the others must not wait for this rank
            error = caught
        agree(self._comm, error)
        return answers, float(self._comm.allreduce(factor, op=MPI.MIN))

    def _unpack(self, rows: Array, factor: float, tangent: bool) -> Response:
        m, s = self.kinematics.size, self.state_layout.size
        status = rows[:, m + s].astype(np.int8)
        moduli = rows[:, m + s + 2 :].reshape(-1, m, m).copy() if tangent else None
        return Response(rows[:, :m].copy(), moduli, rows[:, m : m + s].copy(), status, factor)


def deal(efforts: list[Array]) -> list[np.ndarray]:
    """Return for each rank who answers its points; ``efforts[r]`` are the costs of the points of rank ``r``.

    Points stay where they are unless their rank has more than the mean load.
    """
    mean = sum(float(effort.sum()) for effort in efforts) / len(efforts)
    goes, load, pool = [], [], []
    for rank, effort in enumerate(efforts):
        order = np.argsort(-effort, kind="stable")
        stays = np.cumsum(effort[order]) <= mean * (1.0 + 1e-9)
        goes.append(np.full(len(effort), rank))
        load.append(float(effort[order[stays]].sum()))
        pool += [(-float(effort[row]), rank, int(row)) for row in order[~stays]]
    free = [(amount, rank) for rank, amount in enumerate(load)]
    heapq.heapify(free)
    for cost, home, row in sorted(pool):
        while free[0][0] != load[free[0][1]]:  # an older load of a rank that has got points since
            heapq.heappop(free)
        amount, rank = free[0]
        if load[home] <= amount:  # nobody has less to do
            rank = home
        goes[home][row] = rank
        load[rank] -= cost
        heapq.heappush(free, (load[rank], rank))
    return goes


def _exchange(comm: Any, rows: Array, counts: np.ndarray) -> tuple[Array, np.ndarray]:
    """Send ``rows[k, width]``, ``counts[r]`` of them to each rank in turn; return what came and how much from whom."""
    coming = np.empty_like(counts)
    comm.Alltoall(counts, coming)
    received = np.empty((int(coming.sum()), rows.shape[1]))
    # A row is one item, so that no count of numbers outgrows an int.
    item = MPI.DOUBLE.Create_contiguous(rows.shape[1]).Commit()
    starts = [np.concatenate([[0], np.cumsum(number)[:-1]]) for number in (counts, coming)]
    comm.Alltoallv([np.ascontiguousarray(rows), (counts, starts[0]), item], [received, (coming, starts[1]), item])
    item.Free()
    return received, coming
