"""The contract between a volume element and whoever solves it.

A :class:`~pointlaw.rve.material.RVEMaterial` hands its rows to an engine: the general one (any mesh, law and
constraint, one row after the other) or a fast one for what it covers. All engines share one layout of the state, so
that a state of one is a state of the other, and one definition of the answer: a single implicit step from the state.
"""

from collections.abc import Mapping
from typing import Protocol

from pointlaw.materials import Response, StateLayout
from pointlaw.tensors import Array, Kinematics

FLUCTUATION = "fluctuation"
STRAIN = "strain"


def phase_variable(tag: str | int) -> str:
    """Return the name under which the state of a phase stands in the state of the volume element."""
    return f"phase.{tag}"


def state_layout(free: int, phases: Mapping[str, int], kinematics: Kinematics) -> StateLayout:
    """Return the layout of a volume element's state, the same for all engines.

    Parameters
    ----------
    free : int
        Number of free unknowns ``w`` of the constraint.
    phases : mapping
        For each tag the number of state entries of all its points.
    kinematics : Kinematics
        Of the volume element.

    Returns
    -------
    StateLayout
        ``fluctuation`` (``w`` in the constraint's numbering, unit of length: the warm start), then ``phase.<tag>`` for
        each phase (its cells in the order of the mesh's input, the points of a cell in the order of the quadrature
        rule, the variables of a point in the order of the law's layout), then ``strain`` (the macroscopic strain the
        fluctuation belongs to, from which a step that does not converge at once is approached).
    """
    sizes = {FLUCTUATION: free}
    sizes |= {phase_variable(tag): size for tag, size in phases.items()}
    return StateLayout(sizes | {STRAIN: kinematics.size})


class Engine(Protocol):
    """Who solves ``n`` volume elements of the same mesh, each with its own strain and state.

    Rows are independent and nothing is remembered between calls but factorisation patterns and compiled code: the
    answer depends on the arguments alone. The answer of a row is *one* backward step of all its phases from ``state``
    to ``strain``: an engine may creep up on a difficult ``strain`` to find the fluctuation, always from the same old
    state, so that the tangent is the exact derivative of what was answered.
    """

    kinematics: Kinematics
    """Macroscopic strain and stress; that of the phases."""

    state_layout: StateLayout
    """As :func:`state_layout` makes it."""

    effort: Array
    """Relative cost ``[n]`` of the rows of the last call, in iterations; the answers do not depend on it."""

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[n, S]``: no fluctuation, virgin phases, the reference strain."""

    def solve(self, strain: Array, state: Array, dt: float, *, tangent: bool) -> Response:
        """Answer for ``n`` volume elements.

        Parameters
        ----------
        strain : [n, m]
            Macroscopic strain at the end of the step.
        state : [n, S]
            State at its beginning; not changed.
        dt : float
            Length of the step, unit of time.
        tangent : bool
            Whether the homogenised tangent is wanted.

        Returns
        -------
        Response
            Mean stress ``[n, m]`` over the volume of the cell, tangent ``[n, m, m]``, state, status. A row that finds
            no equilibrium, or whose law fails, is ``FAILED`` with NaN stress and its old state. A row with a point
            out of its law's range is ``OUT_OF_RANGE``. ``dt_factor`` is the smallest of all laws.
        """
