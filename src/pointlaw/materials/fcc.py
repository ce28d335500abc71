"""What FCC crystals have in common, at small and at finite strain: cubic elasticity and the law of their slip."""

from abc import ABC

from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.slip import SlipLaw, cubic_compliance


class FCC(BlockedMaterial, ABC):
    """A rate-dependent FCC crystal in its own axes; see :class:`~pointlaw.materials.CrystalPlasticity`."""

    def __init__(
        self,
        C11: float,
        C12: float,
        C44: float,
        *,
        rate: float,
        n: float,
        g0: float,
        g_sat: float,
        h0: float,
        a: float = 1.0,
        q: float = 1.4,
    ):
        name = type(self).__name__
        self.slip_law = SlipLaw(name, rate, n, g0, g_sat, h0, a, q, cubic_compliance(name, C11, C12, C44))
        self.C11, self.C12, self.C44, self.rate, self.n = C11, C12, C44, rate, n
        self.g0, self.g_sat, self.h0, self.a, self.q = g0, g_sat, h0, a, q
