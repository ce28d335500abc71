"""A polyconvex isotropic energy of the three invariants (Linden et al. 2023, doi 10.1016/j.jmps.2023.105363)."""

import numpy as np
from torch import Tensor

from pointlaw.networks.energy import LINEAR, Branch, EnergyNetwork
from pointlaw.networks.structure import SPHERE, of_C, of_cofactor, of_J


class EnergyIsotropic(EnergyNetwork):
    """Isotropic energy of ``tr C``, ``tr cof C`` and ``J``, ``F → P``.

    Parameters
    ----------
    features, outputs : int
        9 and 9.
    hidden : list of int
        Width of the one or two layers.
    """

    architecture = "energy_isotropic"

    def __init__(self, *, features: int = 9, outputs: int = 9, hidden: list[int] | None = None):
        hidden = list(hidden or [8])
        rows = np.concatenate([of_C(SPHERE), of_cofactor(SPHERE), of_J()])
        branch = Branch(rows, [LINEAR] * 3, [True, True, False], hidden)
        super().__init__(features, outputs, {"hidden": hidden}, [branch])

    def relief(self, stress: Tensor) -> Tensor:
        """Return a multiple of ``J``; see :meth:`EnergyNetwork.relief`."""
        return self.relieve_volume(stress)
