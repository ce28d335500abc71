"""A polyconvex energy of F, averaged over the 24 rotations of the cube.

The first layer acts on ``F`` and ``cof F`` themselves: its units are norms of ``F L`` and of its cofactor with learned
matrices ``L``, which are convex and objective; above them stands a convex network that also sees ``J``. The mean over
the rotations ``Q`` of the group, ``F → F Q``, gives the material symmetry without a choice of invariants (Fernández et
al. 2020, doi 10.1007/s00466-020-01954-7; Klein et al. 2022, doi 10.1016/j.jmps.2021.104703).
"""

from torch import Tensor

from pointlaw.networks.energy import EnergyNetwork
from pointlaw.networks.norms import NormBranch
from pointlaw.networks.structure import cubic_rotations


class EnergySymmetrised(EnergyNetwork):
    """Cubic energy of norms of ``F`` and ``cof F``, ``F → P``.

    Parameters
    ----------
    features, outputs : int
        9 and 9.
    hidden : list of int
        Width of the one or two layers.
    norms : int
        Number of matrices ``L``.
    """

    architecture = "energy_symmetrised"

    def __init__(self, *, features: int = 9, outputs: int = 9, hidden: list[int] | None = None, norms: int = 3):
        hidden = list(hidden or [12])
        super().__init__(
            features, outputs, {"hidden": hidden, "norms": norms}, [NormBranch(cubic_rotations(), norms, hidden)]
        )

    def relief(self, stress: Tensor) -> Tensor:
        """Return a multiple of ``J``; see :meth:`EnergyNetwork.relief`."""
        return self.relieve_volume(stress)
