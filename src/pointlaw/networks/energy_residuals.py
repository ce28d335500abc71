"""Residuals of the stress of a symmetrised energy, and their derivatives by all weights in closed form.

A fit by least squares on a few hundred points of a network of a thousand weights is best done with the Jacobian: the
methods of Gauss and Newton reach in seconds what L-BFGS needs many minutes for. Automatic differentiation has to repeat
its backward pass for every residual; here the derivatives of all are taken at once, and only over the distinct images
of a point, and only along those stresses which the symmetry of its strain allows.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from pointlaw.networks.convex import bend
from pointlaw.networks.energy_symmetrised import EnergySymmetrised, JointNorms, image_turns
from pointlaw.networks.structure import ARGUMENTS, cubic_rotations
from pointlaw.tensors import Array

SAME = 1e-9  # to which two images of a strain are the same
SYMMETRIC = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class StressResiduals:
    """Weighted residuals ``r[n]`` of the stress at fixed points, for the weights of the network of the moment.

    The stress of a point is compared along an orthonormal basis of what objectivity and the symmetry of its strain
    allow: three directions for three different stretches along the edges of the cube, one for equal ones. The rest of
    a measured stress no energy of this symmetry can follow, and it changes no slope of the sum of squares.

    Parameters
    ----------
    network : EnergySymmetrised
        One member, two hidden layers, float64.
    F, P : [p, 9]
        Deformation gradients and wanted stresses, in units of the stress scale.
    weight : [p]
        Factor of the residuals of a point.

    Raises
    ------
    ValueError
        When the network has more members than one or another number of layers than two.
    """

    def __init__(self, network: EnergySymmetrised, F: Array, P: Array, weight: Array):
        branch = network.branches[0]
        if not isinstance(branch, JointNorms) or len(network.branches) > 1 or not branch.core.deep:
            raise ValueError("residuals are written for one member with two hidden layers; fit members one by one")
        self.network, self.branch = network, branch
        y, through = network.linearised(torch.tensor(F - np.eye(3).reshape(9)))
        turns, kinds = image_turns(), defaultdict(list)
        for point, deformation in enumerate(F.reshape(-1, 3, 3)):
            first, count, own = _images(deformation)
            allowed = _allowed(deformation, own)
            kinds[len(first), len(allowed)].append((point, first, count, allowed))
        places, slopes, volumes, targets = [], [], [], []
        self.groups: list[tuple[int, int]] = []  # residuals and images of each
        for (images, directions), points in sorted(kinds.items()):
            self.groups.append((len(points) * directions, images))
            for point, first, count, allowed in points:
                turn = turns[torch.tensor(first)]
                along = weight[point] * through[point] @ torch.tensor(allowed.T)  # [13, d]
                share = torch.tensor(count / len(turns)).view(1, -1, 1)
                places.append((turn @ y[point]).expand(directions, images, ARGUMENTS).reshape(-1, ARGUMENTS))
                slopes.append((torch.einsum("qij,jd->dqi", turn, along) * share).reshape(-1, ARGUMENTS))
                volumes.append(torch.stack([along[12], along[12] * (1.0 - 1.0 / y[point, 12])], 1))
                targets.append(torch.tensor(weight[point] * allowed @ P[point]))
        self.y, self.along = torch.cat(places), torch.cat(slopes)
        self.volume, self.growth = torch.cat(volumes).unbind(1)
        self.target = torch.cat(targets)

    def weights(self) -> Tensor:
        """Return all weights of the network, ``[w]``."""
        return torch.nn.utils.parameters_to_vector(self.network.parameters()).detach().clone()

    def set(self, weights: Tensor) -> None:
        """Give the network the weights ``[w]``."""
        torch.nn.utils.vector_to_parameters(weights, self.network.parameters())

    @torch.no_grad()
    def values(self) -> Tensor:
        """Return the residuals ``[n]``."""
        branch, core = self.branch, self.branch.core
        W, W_bias, U, V, V_bias, top, linear = core.weights()
        rows = branch.one_image()
        self.s = (self.y @ rows.T + branch.smooth).sqrt()
        self.s_along = (self.along @ rows.T) / (2.0 * self.s)
        self.z = torch.cat([self.s - branch.rest(), self.y[:, 12:] - 1.0], 1)
        self.z_along = torch.cat([self.s_along, self.along[:, 12:]], 1)
        before = torch.addmm(W_bias, self.z, W.T)
        self.low, self.h = torch.sigmoid(before), bend(before)
        self.before_along = self.z_along @ W.T
        self.h_along = self.low * self.before_along
        self.high = torch.sigmoid(torch.addmm(V_bias, self.z, V.T) + self.h @ U.T)
        self.high_along = self.h_along @ U.T + self.z_along @ V.T
        energy_along = (self.high * self.high_along) @ top + self.z_along @ linear
        relief, growth = self.network.at_rest()[0, 12], softplus(self.network.growth)
        return self._sum(energy_along.unsqueeze(1))[:, 0] + relief * self.volume + growth * self.growth - self.target

    def jacobian(self) -> Tensor:
        """Return ``∂r/∂weights[n, w]`` at the weights of the last call of :meth:`values`."""
        network = self.network
        names, weights = zip(*network.named_parameters(), strict=True)
        relief = torch.autograd.grad(network.at_rest()[0, 12], weights, allow_unused=True)
        with torch.no_grad():
            slopes, columns = self._slopes(), []
            for name, weight, of_relief in zip(names, weights, relief, strict=True):
                if weight is network.growth:
                    column = (self.growth * torch.sigmoid(weight)).unsqueeze(1)
                else:
                    column = slopes[name.rsplit(".", 1)[1]].reshape(len(self.target), -1)
                if of_relief is not None:
                    column = column + self.volume.unsqueeze(1) * of_relief.reshape(1, -1)
                columns.append(column)
            return torch.cat(columns, 1)

    def _slopes(self) -> dict[str, Tensor]:
        """Return the derivatives of the energy along the directions by the weights of the branch: the chain rule."""
        branch, core, k, n = self.branch, self.branch.core, self.branch.norms, len(self.target)
        W, _, U, V, _, top, linear = core.weights()
        high_1, low_1 = self.high * (1.0 - self.high), self.low * (1.0 - self.low)
        by_high, by_high_along = top * high_1 * self.high_along, top * self.high
        by_h, by_h_along = by_high @ U, by_high_along @ U
        by_low_along = by_h_along * self.low
        by_low = by_h * self.low + by_h_along * low_1 * self.before_along
        by_z, by_z_along = by_low @ W + by_high @ V, by_low_along @ W + by_high_along @ V + linear
        by_s = by_z[:, :k] - by_z_along[:, :k] * self.s_along / self.s
        squares = (by_s / (2.0 * self.s), by_z_along[:, :k] / (2.0 * self.s))
        rows = self._outer(squares, (self.y, self.along))
        mandel = branch.mandel.T
        by_A, by_B = ((rows[:, :, part] @ mandel).view(n, k, 3, 3) for part in (slice(0, 6), slice(6, 12)))
        by_J = 2.0 * rows[:, :, 12, None, None]
        by_rest = -(self._sum(by_z[:, :k]) / branch.rest()).view(n, k, 1, 1) * (branch.A + branch.B)

        def positive(raw: Tensor) -> Tensor:
            return torch.sigmoid(raw) if core.convex else torch.ones_like(raw)

        def signed(raw: Tensor) -> Tensor:
            return torch.where(core.free, torch.ones_like(raw), positive(raw))

        z, h = (self.z, self.z_along), (self.h, self.h_along)
        return {
            "A": (by_A + by_A.transpose(2, 3)) @ branch.A + by_J * branch.B + by_rest,
            "B": (by_B + by_B.transpose(2, 3)) @ branch.B + by_J * branch.A + by_rest,
            "first": self._outer((by_low, by_low_along), z) * signed(core.first),
            "first_bias": self._sum(by_low),
            "between": self._outer((by_high, by_high_along), h) * positive(core.between) * core.share,
            "second": self._outer((by_high, by_high_along), z) * signed(core.second),
            "second_bias": self._sum(by_high),
            "top": self._sum(self.high * self.high_along) * positive(core.top),
            "linear": self._sum(self.z_along) * signed(core.linear),
        }

    def _sum(self, rows: Tensor) -> Tensor:
        """Return the sums ``[n, ...]`` over the images of each residual."""
        counts = [residuals * images for residuals, images in self.groups]
        parts = zip(rows.split(counts), self.groups, strict=True)
        return torch.cat([part.view(*group, *rows.shape[1:]).sum(1) for part, group in parts])

    def _outer(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Return the sums ``[n, i, j]`` of outer products over the images of each residual and over both pairs."""
        counts = [residuals * images for residuals, images in self.groups]
        a, b = torch.stack(list(left), 1).split(counts), torch.stack(list(right), 1).split(counts)
        return torch.cat(
            [
                p.reshape(n, -1, p.shape[2]).transpose(1, 2) @ q.reshape(n, -1, q.shape[2])
                for p, q, (n, _) in zip(a, b, self.groups, strict=True)
            ]
        )


def _images(F: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Return the first of each kind of image of ``C``, how many there are of it, and the rotations that keep ``C``."""
    rotations = cubic_rotations()
    C = F.T @ F
    turned = rotations @ C @ rotations.swapaxes(1, 2)
    same = np.abs(turned[:, None] - turned).max((2, 3)) < SAME
    _, first, count = np.unique(same.argmax(1), return_index=True, return_counts=True)
    return first, count, rotations[np.abs(turned - C).max((1, 2)) < SAME]


def _allowed(F: Array, own: Array) -> Array:
    """Return an orthonormal basis ``[d, 9]`` of the stresses ``P = F S`` whose ``S`` the rotations ``own`` keep."""
    S = np.zeros((6, 3, 3))
    for k, (i, j) in enumerate(SYMMETRIC):
        S[k, i, j] = S[k, j, i] = 1.0
    kept = np.einsum("nai,sij,nbj->sab", own, S, own) / len(own)
    _, sizes, basis = np.linalg.svd((F @ kept).reshape(6, 9))
    return basis[: np.count_nonzero(sizes > 1e-8 * sizes[0])]
