"""Compressible Mooney–Rivlin solid: rubber with two constants."""

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.hyperelastic import InvariantHyperelastic
from pointlaw.tensors import Array


class MooneyRivlin(InvariantHyperelastic):
    """Mooney–Rivlin solid ``W = C10 (Ī₁ − 3) + C01 (Ī₂ − 3) + K/4 (J² − 1 − 2 ln J)``, ``F → P``.

    Parameters
    ----------
    C10, C01 : float
        Half the shear modulus together, ``μ = 2 (C10 + C01)``, unit of stress.
    K : float
        Bulk modulus, unit of stress.
    """

    second_invariant = True

    def __init__(self, C10: float, C01: float, K: float):
        checks.non_negative("MooneyRivlin", C10=C10, C01=C01)
        if C10 + C01 == 0.0:
            raise InputError("MooneyRivlin: C10 and C01 are both 0, so the solid has no shear stiffness; give one.")
        super().__init__(K)
        self.C10, self.C01 = C10, C01

    def isochoric_energy(self, invariants: Array) -> Array:
        """Return C10 (Ī₁ − 3) + C01 (Ī₂ − 3); see :meth:`InvariantHyperelastic.isochoric_energy`."""
        energy: Array = self.C10 * (invariants[0] - 3.0) + self.C01 * (invariants[1] - 3.0)
        return energy

    def derivatives(self, invariants: Array) -> tuple[Array, Array | None]:
        """Return the constants C10 and C01; see :meth:`InvariantHyperelastic.derivatives`."""
        return np.repeat([[self.C10], [self.C01]], invariants.shape[1], axis=1), None
