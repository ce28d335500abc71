"""Generalised Maxwell solid: linear viscoelasticity by a Prony series, exact for steps of any length."""

import itertools
from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.tensors import DEVIATORIC, SMALL_STRAIN_3D, VOLUMETRIC, Array


class GeneralisedMaxwell(BlockedMaterial):
    """Relaxation moduli ``G(t) = G₀ (1 − Σ g_i (1 − e^(−t/τ_i)))``, and K(t) likewise with ``k_i``; small strain.

    The strain is taken as linear in time within a step; for such a history the answer is exact, however uneven the
    steps are. Taylor, Pister & Goudreau 1970, doi 10.1002/nme.1620020106.

    Parameters
    ----------
    E, nu : float
        Instantaneous Young's modulus, unit of stress, and instantaneous Poisson's ratio.
    tau : sequence of float
        Relaxation times, strictly increasing, unit of time.
    g : sequence of float
        Share of the instantaneous shear modulus that relaxes with each time; positive or 0, at most 1 in all.
    k : sequence of float, optional
        The same for the bulk modulus; by default the bulk response is elastic.

    Notes
    -----
    State: ``strain`` (6) and, for every time, ``overstress_i`` (6, Mandel, unit of stress).
    """

    kinematics = SMALL_STRAIN_3D
    symmetric = True

    def __init__(
        self, E: float, nu: float, tau: Sequence[float], g: Sequence[float], *, k: Sequence[float] | None = None
    ):
        name = "GeneralisedMaxwell"
        checks.positive(name, E=E)
        checks.poisson_ratio(name, nu)
        checks.numbers(name, tau=tau, g=g)
        k = [0.0] * len(g) if k is None else k
        checks.numbers(name, k=k)
        checks.same_length(name, tau=tau, g=g, k=k)
        if len(tau) == 0:
            raise InputError(f"{name}: give at least one relaxation time.")
        checks.positive(name, **{f"tau[{i}]": value for i, value in enumerate(tau)})
        if any(late <= early for early, late in itertools.pairwise(tau)):
            raise InputError(f"{name}: the relaxation times tau = {list(tau)} must increase; sort them.")
        for symbol, shares in (("g", g), ("k", k)):
            checks.non_negative(name, **{f"{symbol}[{i}]": value for i, value in enumerate(shares)})
            if sum(shares) > 1.0 + 1e-12:
                raise InputError(f"{name}: the sum of {symbol} is {sum(shares)}; above 1 a modulus is negative.")
        G, K = E / (2.0 * (1.0 + nu)), E / (3.0 * (1.0 - 2.0 * nu))
        self.E, self.nu = E, nu
        self.tau, self.g, self.k = (np.array(values, dtype=float) for values in (tau, g, k))
        self.branches = [2.0 * G * a * DEVIATORIC + 3.0 * K * b * VOLUMETRIC for a, b in zip(g, k, strict=True)]
        self.equilibrium = 2.0 * G * DEVIATORIC + 3.0 * K * VOLUMETRIC - sum(self.branches)
        self.state_layout = StateLayout({"strain": 6} | {f"overstress_{i + 1}": 6 for i in range(len(tau))})

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        decay = np.exp(-dt / self.tau)
        # Mean of e^(−s/τ) over the step: what is left at its end of a strain that grew evenly during it.
        left = -np.expm1(-dt / self.tau) * self.tau / dt if dt > 0.0 else np.ones_like(decay)
        step = strain - state[:, :6]
        np.matmul(strain, self.equilibrium, out=out.stress)
        out.state[:, :6] = strain
        moduli = self.equilibrium.copy()
        for i, branch in enumerate(self.branches):
            here = slice(6 + 6 * i, 12 + 6 * i)
            overstress = decay[i] * state[:, here] + step @ (left[i] * branch)
            out.stress += overstress
            out.state[:, here] = overstress
            moduli += left[i] * branch
        if out.tangent is not None:
            out.tangent[...] = moduli
        return None
