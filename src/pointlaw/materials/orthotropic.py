"""Orthotropic linear elasticity: wood, rolled sheet, composite plies."""

from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.stiffness import ConstantStiffness, orthotropic_compliance


class Orthotropic(ConstantStiffness):
    """Hooke's law of an orthotropic solid whose axes are the coordinate axes; turn it with ``Rotated``.

    Parameters
    ----------
    E : (E1, E2, E3)
        Young's moduli, unit of stress.
    nu : (nu12, nu13, nu23)
        Poisson's ratios, ``ν_ij`` the contraction along j under tension along i.
    G : (G12, G13, G23)
        Shear moduli, unit of stress.
    """

    def __init__(self, E: Sequence[float], nu: Sequence[float], G: Sequence[float]):
        checks.numbers("Orthotropic", E=E, nu=nu, G=G)
        for name, values in {"E": E, "nu": nu, "G": G}.items():
            if len(values) != 3:
                raise InputError(f"Orthotropic: {name} has {len(values)} entries; give 3.")
        checks.positive("Orthotropic", **{f"E{i + 1}": value for i, value in enumerate(E)})
        checks.positive("Orthotropic", **{f"G{pair}": value for pair, value in zip(("12", "13", "23"), G, strict=True)})
        super().__init__(orthotropic_compliance(np.array(E, float), np.array(nu, float), np.array(G, float)))
        self.E, self.nu, self.G = tuple(E), tuple(nu), tuple(G)
