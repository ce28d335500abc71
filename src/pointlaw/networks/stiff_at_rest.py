"""Elastoplastic networks with one stiffness at rest, known or learned, that is right by construction.

The stiffness ``C₀ = Uᵀ U`` is held by its root ``U``: whatever the weights are, it is symmetric and positive. Before
every training it is taken from the teacher if that knows it. Otherwise it is learned, from what the first steps of the
paths tell a fresh network on.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pointlaw.networks.incremental import Incremental


class StiffAtRest(Incremental, ABC):
    """An incremental network, as many strains as stresses, with the stiffness ``C₀ = Uᵀ U`` at rest.

    A subclass calls :meth:`add_root` where the root belongs among its parameters, and sets its other first weights in
    :meth:`prepare_flow`.
    """

    root: Tensor
    unit: Tensor

    def add_root(self) -> None:
        """Register U, the identity at first, in two parts: a parameter of order one and its size."""
        self.root = nn.Parameter(torch.eye(self.strains))
        self.register_buffer("unit", torch.zeros(()))  # zero in a fresh network

    def is_fresh(self) -> bool:
        """Whether no training has been prepared yet, so that the root is but the identity."""
        return not self.unit.item()

    def prepare(self, x: Tensor, y: Tensor, stiffness: Tensor | None) -> None:
        """Set the stiffness, and in a fresh network also what follows from it; see :meth:`Network.prepare`.

        A known stiffness is taken as it is and not learned, by a network that has learned another one as well.
        """
        self.root.requires_grad_(stiffness is None)
        fresh = self.is_fresh()
        if stiffness is None and not fresh:
            return
        C0 = first_stiffness(x[:, 0], y[:, 0]) if stiffness is None else stiffness
        root = torch.linalg.cholesky(positive(C0.double())).T
        with torch.no_grad():
            self.unit.copy_(root.diagonal().mean())
            self.root.copy_(root / self.unit)
        if fresh:
            self.prepare_flow(x, y, root)

    @abstractmethod
    def prepare_flow(self, x: Tensor, y: Tensor, root: Tensor) -> None:
        """Set the first weights other than the root ``U``, which is ``root[m, m]`` in float64.

        ``x[n, t, m]`` and ``y[n, t, m]`` are those of :meth:`Network.prepare`.
        """

    @torch.jit.export
    def unit_root(self) -> Tensor:
        """Return U with ``C₀ = Uᵀ U``."""
        return self.root * torch.where(self.unit > 0.0, self.unit, torch.ones_like(self.unit))

    @torch.jit.export
    def stiffness(self) -> Tensor:
        """Return ``dy/dx[m, m]`` at rest."""
        root = self.unit_root()
        return root.T @ root


def check_conjugate(features: int, outputs: int) -> None:
    """Raise ``ValueError`` unless there are as many strains as stresses."""
    if features != outputs:
        raise ValueError(f"strain and stress have the same components; got features={features}, outputs={outputs}")


def first_stiffness(x: Tensor, y: Tensor) -> Tensor:
    """Return the symmetric least-squares fit of ``y[n, m]`` by ``x[n, m]`` over the smaller half of the first steps."""
    order = x.square().sum(1).argsort()[: max(2 * x.shape[1], len(x) // 2)]
    C = torch.linalg.lstsq(x[order].double(), y[order].double(), driver="gelsd").solution
    return 0.5 * (C + C.T)


def positive(C: Tensor) -> Tensor:
    """Return the symmetric part of ``C[m, m]`` with eigenvalues of at least 1 % of the largest."""
    values, vectors = torch.linalg.eigh(0.5 * (C + C.T))
    return (vectors * values.clamp_min(0.01 * float(values.max()))) @ vectors.T
