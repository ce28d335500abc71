"""A polyconvex energy of invariants with the symmetry of a cube.

The invariants are ``tr C``, ``tr cof C``, ``J`` and, for each orbit of directions ``n`` of the cube, the means of
``|F n|⁴`` and ``|cof F n|⁴``. With the edges alone these are the cubic invariants of Klein et al. 2022 (doi
10.1016/j.jmps.2021.104703, after Schröder, Neff & Ebbing 2008, doi 10.1016/j.jmps.2008.08.008); the diagonals are
further invariants of the same group, and the ones that matter when struts run along them.
"""

import itertools

import numpy as np
from torch import Tensor

from pointlaw.networks.energy import LINEAR, SQUARE, Branch, EnergyNetwork
from pointlaw.networks.structure import SPHERE, fibre, of_C, of_cofactor, of_J, orbit


class EnergyCubic(EnergyNetwork):
    """Cubic energy of invariants, ``F → P``.

    Parameters
    ----------
    features, outputs : int
        9 and 9.
    hidden : list of int
        Width of the one or two layers.
    orbits : list of str
        Orbits whose fourth powers are invariants: ``"100"``, ``"110"``, ``"111"``.
    """

    architecture = "energy_cubic"

    def __init__(
        self, *, features: int = 9, outputs: int = 9, hidden: list[int] | None = None, orbits: list[str] | None = None
    ):
        hidden, orbits = list(hidden or [16]), list(orbits or ["100", "111"])
        tensors = [fibre(orbit(name)) for name in orbits]
        rows = [of_C(SPHERE), of_cofactor(SPHERE), of_J()]
        powers = [LINEAR, LINEAR, LINEAR]
        counts = [1, 1, 1]
        for of in (of_C, of_cofactor):
            for G in tensors:
                rows.append(of(G))
                powers += [SQUARE] * len(G)
                counts.append(len(G))
        sums = np.zeros((len(counts), sum(counts)))
        ends = np.cumsum([0, *counts])
        for k, (a, b) in enumerate(itertools.pairwise(ends)):
            sums[k, a:b] = 1.0 / (b - a)
        increasing = [k != 2 for k in range(len(counts))]
        branch = Branch(np.concatenate(rows), powers, increasing, hidden, sums=sums)
        super().__init__(features, outputs, {"hidden": hidden, "orbits": orbits}, [branch])

    def relief(self, stress: Tensor) -> Tensor:
        """Return a multiple of ``J``; see :meth:`EnergyNetwork.relief`."""
        return self.relieve_volume(stress)
