"""The Taylor test: how fast the error of a derivative falls when the step is halved.

If ``C`` is the derivative of ``σ`` at ``ε``, the remainder ``‖σ(ε + h d) − σ(ε) − h C d‖`` falls like h², and its slope
in a double logarithmic plot is 2; with a wrong derivative it is 1. Read for many points at once, for the smallest
steps that round-off still lets one read.
"""

from collections.abc import Callable

import numpy as np

from pointlaw.errors import InputError
from pointlaw.tensors import Array


def taylor_order(
    stress: Callable[[Array], Array],
    strain: Array,
    tangent: Array,
    *,
    directions: Array,
    size: float,
    halvings: int = 14,
    precision: float = 1e-14,
) -> Array:
    """Return the order of the Taylor remainder of ``tangent`` at every point.

    Parameters
    ----------
    stress : callable
        ``stress(strain[p, m]) -> [p, m]``, the function that was differentiated, state and time step fixed.
    strain : [p, m]
        Where.
    tangent : [p, m, m]
        The derivative there, unit of stress.
    directions : [p, m]
        Directions of length one.
    size : float
        Largest step; the steps are ``size / 2**k`` for ``k = 0 … halvings``.
    halvings : int
        Number of halvings.
    precision : float
        Relative round-off of ``stress``, 1e-14 in double and about 1e-6 in single precision. Remainders within a
        hundred times of it are not read.

    Returns
    -------
    order : [p]
        Largest order between neighbours among the three smallest readable pairs of steps; ``inf`` where the remainder
        is round-off for every step, as for a linear law; ``nan`` where the stress is not finite.

    Notes
    -----
    A wrong tangent shows as order 1 for the smallest steps. It is seen when its relative error exceeds about the ratio
    of the smallest readable step to the strain over which the tangent changes; more halvings see smaller errors.
    Across a kink of ``stress`` (the yield surface) the order is 1 until the step is shorter than the distance to the
    kink, which is why the smallest steps count.
    """
    if halvings < 1:
        raise InputError(f"taylor_order: halvings = {halvings} must be at least 1.")
    base = stress(strain)
    slope = np.einsum("pij,pj->pi", tangent, directions)
    steps = size * 0.5 ** np.arange(halvings + 1)
    remainder, noise = np.empty((len(steps), len(strain))), np.empty((len(steps), len(strain)))
    moduli = np.abs(tangent).max(axis=(1, 2), initial=0.0)
    for k, h in enumerate(steps):
        moved = stress(strain + h * directions)
        remainder[k] = np.linalg.norm(moved - base - h * slope, axis=1)
        # Round-off of the stress itself, and of a strain that is stored to a relative 1e-16.
        noise[k] = (
            np.linalg.norm(base, axis=1) + np.linalg.norm(moved, axis=1) + moduli * np.linalg.norm(strain, axis=1)
        )
    floor = 100.0 * precision * noise
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.log2(remainder[:-1] / remainder[1:])
    readable = remainder[1:] > floor[1:]
    order[~readable] = -np.inf
    # Only the three smallest readable steps: later[k] counts the readable pairs from k on.
    later = np.cumsum(readable[::-1], axis=0)[::-1]
    order[later > 3] = -np.inf
    best = order.max(axis=0)
    best[~readable.any(axis=0)] = np.inf
    # A remainder that was readable at the first step only has fallen into round-off: nothing speaks against it.
    best[~np.isfinite(remainder).all(axis=0)] = np.nan
    return best
