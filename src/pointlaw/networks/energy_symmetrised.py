"""An energy of F, polyconvex unless told otherwise, averaged over the 24 rotations of the cube.

The first layer acts on ``F`` and ``cof F`` together: its units are the norms ``|F A + cof(F) B|`` with learned matrices
``A`` and ``B``; above them stands a convex network that also sees ``J``. The mean over the rotations ``Q`` of the
group, ``F → F Q``, gives the material symmetry without a choice of invariants (Fernández et al. 2020, doi
10.1007/s00466-020-01954-7; Klein et al. 2022, doi 10.1016/j.jmps.2021.104703).

A norm of a linear map of ``(F, cof F)`` is convex in them, so a convex function of such norms that does not decrease
in any is polyconvex. It is objective, and cheap: since ``FᵀF = C``, ``cof(F)ᵀ cof(F) = cof C`` and ``Fᵀ cof F = J 1``,

    ``|F A + cof(F) B|² = A Aᵀ:C + B Bᵀ:cof C + 2 tr(AᵀB) J``,

which is linear in what all energies here take. With ``B = 0`` it is the stretch of fibres, with ``A = 0`` that of
areas; with ``B = −A`` it measures how far ``F`` is from a rotation, which the two apart cannot.

Not every body has a polyconvex energy: a lattice loses ellipticity when its struts buckle. With
``polyconvex=False`` the function of the norms may be any; the rest stays as it is.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pointlaw.networks.convex import convex_derivatives
from pointlaw.networks.energy import LINEAR, ROOT, Branch, EnergyNetwork
from pointlaw.networks.structure import ARGUMENTS, ORBITS, cubic_rotations
from pointlaw.tensors import rotation, to_mandel

SMOOTH = 1e-4  # under the roots: norms that vanish at rest are round within a strain of its root, 0.01
KINKS = (2.0, 90.0)  # slopes of the first layer at the start: struts buckle within a strain of 0.01
STRUTS = tuple(ORBITS[name] for name in ("111", "110", "100"))  # directions in which every second matrix starts
NOISE = 0.05  # of the matrices that start along a strut
DECIMALS = 12  # to which two images of a point are the same


class EnergySymmetrised(EnergyNetwork):
    """Cubic energy of norms of ``F`` and ``cof F``, ``F → P``.

    Parameters
    ----------
    features, outputs : int
        9 and 9.
    hidden : list of int
        Width of the one or two layers.
    norms : int
        Number of pairs of matrices ``A``, ``B``.
    members : int
        Number of such energies that are added up; see :func:`mean_energy`.
    polyconvex : bool
        False: the weights may take either sign. The energy is then objective, symmetric and free of stress at rest as
        before, but not polyconvex: for bodies that are not, such as lattices whose struts buckle.
    """

    architecture = "energy_symmetrised"

    def __init__(
        self, *, features: int = 9, outputs: int = 9, hidden: list[int] | None = None, norms: int = 4, members: int = 1,
        polyconvex: bool = True,
    ):  # fmt: skip
        hidden = list(hidden or [12])
        branches = [JointNorms(norms, hidden, convex=polyconvex) for _ in range(members)]
        config = {"hidden": hidden, "norms": norms, "members": members, "polyconvex": polyconvex}
        super().__init__(features, outputs, config, branches)

    def relief(self, stress: Tensor) -> Tensor:
        """Return a multiple of ``J``; see :meth:`EnergyNetwork.relief`."""
        return self.relieve_volume(stress)

    def at(self, x: Tensor) -> Callable[[], Tensor]:
        """Return a function that gives the answers at the points ``x[p, 9]`` for the weights of the moment.

        For fits on points that stay the same: all that does not depend on the weights is computed here, and of the 24
        images of a point (three, if ``F`` is a uniaxial stretch) each is taken once.
        """
        y, through = self.linearised(x)
        turns = image_turns().to(x.dtype)
        q, p = len(turns), len(x)
        images = torch.einsum("qij,pj->pqi", turns, y).reshape(p * q, ARGUMENTS)
        points = torch.arange(p).repeat_interleave(q)
        key = torch.cat([points.unsqueeze(1).to(x.dtype), images.detach()], 1)
        distinct, place = torch.unique(key.round(decimals=DECIMALS) + 0.0, dim=0, return_inverse=True)
        whose, rows = distinct[:, 0].long(), distinct[:, 1:].clone()
        rows[place] = images  # unrounded
        back = torch.zeros(len(rows), ARGUMENTS, 9, dtype=x.dtype)
        back.index_add_(0, place, torch.einsum("qij,pjk->pqik", turns, through).reshape(p * q, ARGUMENTS, 9) / q)
        branches: list[JointNorms] = list(self.branches)  # type: ignore[arg-type]
        volume = through[:, 12]

        def answer() -> Tensor:
            slopes = torch.stack([branch.slopes(rows) for branch in branches]).sum(0)
            parts = (slopes.unsqueeze(1) @ back).squeeze(1)
            of_volume = softplus(self.growth) * (1.0 - 1.0 / y[:, 12:]) + self.at_rest()[:, 12:]
            return (of_volume * volume).index_add(0, whose, parts)

        return answer


class JointNorms(Branch):
    """A function of ``|F A + cof(F) B|`` for some learned ``A`` and ``B`` and of ``J``, over all images of the cube.

    Convex unless told otherwise.

    Parameters
    ----------
    norms : int
        Number ``k`` of pairs.
    hidden : list of int
        Layers of the core.
    convex : bool
        False: the function may be any.
    """

    turns: Tensor
    mandel: Tensor

    def __init__(self, norms: int, hidden: list[int], *, convex: bool = True):
        if norms < 1:
            raise ValueError(f"norms = {norms} must be at least 1")
        turns = image_turns()
        powers, increasing = [ROOT] * norms + [LINEAR], [True] * norms + [False]
        super().__init__(None, powers, increasing, hidden, images=len(turns), smooth=SMOOTH, kinks=KINKS, convex=convex)
        self.norms = norms
        A, B = start(norms)
        self.A, self.B = nn.Parameter(A), nn.Parameter(B)
        # Geometry is kept in float64: it is no weight and nothing may round it.
        self.register_buffer("turns", turns, persistent=False)
        self.register_buffer("mandel", torch.tensor(to_mandel(np.eye(9).reshape(9, 3, 3))), persistent=False)

    def one_image(self) -> Tensor:
        """Return the rows ``[k, 13]`` that take the squared norms from ``(C, cof C, J)``."""
        A, B, k = self.A, self.B, self.norms
        mandel = self.mandel.to(A.dtype)
        of_C = (A @ A.transpose(1, 2)).reshape(k, 9) @ mandel
        of_cofactor = (B @ B.transpose(1, 2)).reshape(k, 9) @ mandel
        return torch.cat([of_C, of_cofactor, 2.0 * (A * B).reshape(k, 9).sum(1, keepdim=True)], 1)

    def arguments(self) -> Tensor:
        """Return the rows ``[q·(k + 1), 13]`` of the squared norms and of ``J``, image after image."""
        rows = self.one_image()
        J = torch.zeros_like(rows[:1])
        J[:, 12] = 1.0
        return (torch.cat([rows, J], 0) @ self.turns.to(rows.dtype)).reshape(-1, rows.shape[1])

    def rest(self) -> Tensor:
        """Return the inputs ``[k]`` of the core that the undeformed body would have: the smoothed ``|A + B|``."""
        return ((self.A + self.B).square().sum(2).sum(1) + self.smooth).sqrt()

    def inputs(self, powers: Tensor) -> Tensor:
        """Return the inputs ``[p·q, k + 1]`` of the core, zero at rest."""
        rest = torch.nn.functional.pad(self.rest(), (0, 1), value=1.0)
        return powers.reshape(powers.shape[0] * self.images, self.norms + 1) - rest

    def slopes(self, y: Tensor) -> Tensor:
        """Return the derivatives ``[p, 13]`` of the unaveraged energy at ``y[p, 13]``."""
        rows = self.one_image()
        s = (y @ rows.T + self.smooth).sqrt()
        gradient, _ = convex_derivatives(torch.cat([s - self.rest(), y[:, 12:] - 1.0], 1), self.core.weights(), False)
        answer = (0.5 * gradient[:, :-1] / s) @ rows
        return answer + torch.nn.functional.pad(gradient[:, -1:], (12, 0))


def mean_energy(networks: Sequence[EnergySymmetrised]) -> EnergySymmetrised:
    """Return the mean of energies of one configuration and one member each, as one network.

    A mean of polyconvex energies is polyconvex, and that of fits from different starts errs less than they do one by
    one where there were no data. Raises ``ValueError`` when the configurations differ.
    """
    config = networks[0].config
    if any(network.config != config for network in networks) or config["members"] != 1:
        raise ValueError("a mean is taken of energies of one configuration with one member each")
    answer = EnergySymmetrised(**{**config, "members": len(networks)}).to(networks[0].growth.dtype)
    share = 1.0 / len(networks)
    with torch.no_grad():
        growth = torch.stack([softplus(network.growth) for network in networks]).mean()
        answer.growth.copy_(torch.log(torch.expm1(growth)))
        for place, network in zip(answer.branches, networks, strict=True):
            place.load_state_dict(network.branches[0].state_dict())
            place.core.scale(share)  # type: ignore[union-attr, operator]
    return answer


def start(norms: int) -> tuple[Tensor, Tensor]:
    """Return ``A`` and ``B``, ``[k, 3, 3]``, to start from: every second ``A`` a strut, every fourth ``B = −A``."""
    A = 0.5 * torch.randn(norms, 3, 3) + 0.3 * torch.eye(3)
    B = 0.3 * torch.randn(norms, 3, 3)
    for place, k in enumerate(range(0, norms, 2)):
        strut = torch.tensor(STRUTS[place % len(STRUTS)], dtype=A.dtype)
        A[k] = NOISE * torch.randn(3, 3)
        A[k, :, 0] += strut / strut.norm()
    B[1::4] = -A[1::4]
    return A, B


def image_turns() -> Tensor:
    """Return the matrices ``[24, 13, 13]`` that turn ``(C, cof C, J)`` by the rotations of the cube."""
    turn = rotation(cubic_rotations())
    turns = np.zeros((len(turn), ARGUMENTS, ARGUMENTS))
    turns[:, :6, :6], turns[:, 6:12, 6:12], turns[:, 12, 12] = turn, turn, 1.0
    return torch.tensor(turns)
