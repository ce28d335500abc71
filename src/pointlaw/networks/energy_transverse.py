"""A polyconvex transversely isotropic energy: one family of fibres ``a`` in an isotropic body.

Its invariants are ``tr C``, ``tr cof C``, ``J``, the square of the fibre stretch ``a·C·a`` and that of the area normal
to the fibres, ``a·cof C·a`` (Schröder & Neff 2003, doi 10.1016/S0020-7683(02)00458-4). The stress at rest has a
part along the fibre; a multiple of one of the last two, whichever sign is needed, takes it away and stays polyconvex
(Linden et al. 2023, doi 10.1016/j.jmps.2023.105363).
"""

import math

import numpy as np
import torch
from torch import Tensor

from pointlaw.networks.energy import LINEAR, Branch, EnergyNetwork
from pointlaw.networks.structure import SPHERE, fibre, of_C, of_cofactor, of_J


class EnergyTransverse(EnergyNetwork):
    """Transversely isotropic energy of five invariants, ``F → P``.

    Parameters
    ----------
    features, outputs : int
        9 and 9.
    hidden : list of int
        Width of the one or two layers.
    axis : list of float
        Direction of the fibres, of any length but zero.
    """

    architecture = "energy_transverse"
    fibre: Tensor

    def __init__(
        self, *, features: int = 9, outputs: int = 9, hidden: list[int] | None = None, axis: list[float] | None = None
    ):
        hidden, axis = list(hidden or [8]), [float(a) for a in (axis or [0.0, 0.0, 1.0])]
        length = math.hypot(*axis)
        if len(axis) != 3 or not (math.isfinite(length) and length > 0.0):
            raise ValueError(f"the axis of the fibres is three numbers, not all zero; got {axis}")
        a = fibre(np.array([axis]) / length)
        rows = np.concatenate([of_C(SPHERE), of_cofactor(SPHERE), of_C(a), of_cofactor(a), of_J()])
        branch = Branch(rows, [LINEAR] * 5, [True, True, True, True, False], hidden)
        super().__init__(features, outputs, {"hidden": hidden, "axis": axis}, [branch])
        self.register_buffer("fibre", torch.tensor(a), persistent=False)

    def relief(self, stress: Tensor) -> Tensor:
        """Return multiples of ``a·C·a`` or ``a·cof C·a``, and of ``J``; see :meth:`EnergyNetwork.relief`.

        The stress at rest is ``α I + β a⊗a``. At rest ``∂(a·cof C·a)/∂C = I − a⊗a``.
        """
        a = self.fibre.to(stress.dtype)
        along, trace = (stress * a).sum(1, keepdim=True), stress[:, :3].sum(1, keepdim=True)
        alpha = 0.5 * (trace - along)
        beta = along - alpha
        of_fibre, of_area = torch.relu(-beta) * a, torch.relu(beta) * a
        return torch.cat([of_fibre, of_area, -2.0 * (alpha + torch.relu(beta))], 1)
