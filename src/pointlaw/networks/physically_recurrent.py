"""A physically recurrent network: elastoplastic points as the neurons of its only hidden layer.

After Maia, Rocha, Kerfriden & van der Meer (2023, doi 10.1016/j.cma.2022.115755): an encoder spreads the strain over
points with their own internal variables, which are the memory, and a decoder adds up their stresses. Three things are
done otherwise. The points follow the flow along a straight increment instead of a return mapping, so that reading a
path in finer steps changes the answer by some 1e-6 and a held strain moves nothing. The decoder is the transpose of the
encoder: the network is a generalised standard material, Besseling's overlay of sub-volumes (1958, doi
10.1115/1.4011867), which never creates energy. And the sum of all elastic parts is one learned (or known) stiffness,
whatever the encoder is, so that the tangent at rest is right by construction.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from pointlaw.kernels.native import load_library
from pointlaw.networks.base import Kernel, frozen_copy, generator, native
from pointlaw.networks.overlay import Scan, advance, advance_with_slopes, radius
from pointlaw.networks.stiff_at_rest import StiffAtRest, check_conjugate


class PhysicallyRecurrent(StiffAtRest):
    """Elastoplastic elements in parallel.

    Parameters
    ----------
    features, outputs : int
        Components ``m`` of strain and of stress; equal.
    elements : int
        Number of elements ``k``.
    size : int, optional
        Components ``d`` of the stress of an element; ``features`` if omitted.
    first_yield : float
        Radius of the element that yields first, before training, in typical strains of an element. Data that show the
        onset of yield want it small.
    seed : int, optional
        Of the first weights; torch's generator if omitted.

    Notes
    -----
    ``W[k d + m, m]`` has orthonormal columns, ``C₀ = Uᵀ U`` is the stiffness at rest, and ``Dᵢ = Wᵢ U`` the encoder of
    element i; the last block ``D_e`` belongs to an element that stays elastic: ``y = Σ Dᵢᵀ sᵢ + D_eᵀ D_e x``. The state
    row holds the old strain, the stresses (``k d``) and the plastic strains (``k``) of the elements.
    """

    architecture = "physically_recurrent"
    scaling = "physical"

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        elements: int = 32,
        size: int | None = None,
        first_yield: float = 0.08,
        seed: int | None = None,
    ):
        check_conjugate(features, outputs)
        d = features if size is None else size
        config = {
            "features": features,
            "outputs": outputs,
            "elements": elements,
            "size": d,
            "first_yield": first_yield,
            "seed": seed,
        }
        if not 0.0 < first_yield < LARGEST_RADIUS:
            raise ValueError(f"first_yield = {first_yield} must lie between 0 and {LARGEST_RADIUS}")
        first = ((first_yield, LARGEST_RADIUS), *RANGES)
        memory = {"stress": elements * d, "plastic": elements}
        super().__init__(strains=features, memory=memory, features=features, outputs=outputs, config=config)
        self.elements, self.size = elements, d
        rng = generator(seed)
        spread = torch.randn(elements * d, features, generator=rng) * math.sqrt(ELASTOPLASTIC / (elements * d))
        self.weight = nn.Parameter(torch.cat([spread, math.sqrt(1.0 - ELASTOPLASTIC) * torch.eye(features)]))
        self.add_root()
        order = [torch.randperm(elements, generator=rng) for _ in first]
        ranges = [torch.linspace(math.log(a), math.log(b), elements)[o] for (a, b), o in zip(first, order, strict=True)]
        self.log_law = nn.Parameter(torch.stack(ranges, 1))
        self.set_typical_strain(1.0)

    def set_typical_strain(self, strain: float) -> None:
        """Scale radii and hardening lengths to what elements see of strains with components of this size."""
        energy = float(self.unit_root().detach().square().sum().sqrt()) * strain
        typical = energy * math.sqrt(ELASTOPLASTIC / self.elements)
        ranges = ((self.config["first_yield"], LARGEST_RADIUS), RANGES[1])
        lengths = torch.tensor(ranges).log().mean(1) + math.log(typical)
        with torch.no_grad():
            for column, length in zip((0, 2), lengths, strict=True):
                self.log_law[:, column] += length.to(self.log_law) - self.log_law[:, column].mean()

    def prepare_flow(self, x: Tensor, y: Tensor, root: Tensor) -> None:
        """Set the first yield strains; see :meth:`StiffAtRest.prepare_flow`."""
        self.set_typical_strain(float(x.square().mean().sqrt()))

    @torch.jit.export
    def encoder(self) -> Tensor:
        """Return all encoders ``[k d + m, m]``, the last m rows those of the elastic element."""
        # W = M (MᵀM)^(−1/2) up to a rotation: with the Cholesky factor the columns are orthonormal as well.
        factor = torch.linalg.cholesky(self.weight.T @ self.weight)
        return torch.linalg.solve_triangular(factor, self.weight.T, upper=False).T @ self.unit_root()

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return what each element sees of the increment, ``[..., k d]``."""
        return (x - old) @ self.encoder()[: self.elements * self.size].T

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new stresses and plastic strains; see :meth:`Incremental.advance`."""
        n, shape = self.elements * self.size, [self.elements, self.size]
        d, s = drive.unflatten(1, shape), memory[:, :n].unflatten(1, shape)
        flow = advance((d * d).sum(-1), (s * d).sum(-1), (s * s).sum(-1), memory[:, n:], self.log_law.exp().T)
        return torch.cat([(flow.A.unsqueeze(-1) * s + flow.B.unsqueeze(-1) * d).flatten(1), flow.plastic], 1)

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, m]``; see :meth:`Incremental.answer`."""
        n = self.elements * self.size
        D = self.encoder()
        return memory[:, :n] @ D[:n] + x @ (D[n:].T @ D[n:])

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``, in compiled code where there is a compiler."""
        if not torch.jit.is_scripting():  # noqa: SIM102  (the compiler must see this condition on its own)
            if x.device.type == "cpu" and native("overlay"):
                return self.native_scan(x)
        return self.plain_scan(x)

    @torch.jit.unused
    def native_scan(self, x: Tensor) -> Tensor:
        """Return the answers along ``x[r, t, f]`` by the compiled kernel."""
        n, D = self.elements * self.size, self.encoder()
        increment = torch.diff(x, dim=1, prepend=torch.zeros_like(x[:, :1])) @ D[:n].T
        stress = Scan.apply(increment.unflatten(2, (self.elements, self.size)).double(), self.log_law.exp().double())
        return stress.flatten(2).to(x.dtype) @ D[:n] + x @ (D[n:].T @ D[n:])

    @torch.jit.export
    def energy(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the elastic energy ``[r]`` of all elements at ``x[r, m]`` and the state that goes with it."""
        n = self.elements * self.size
        elastic = x @ self.encoder()[n:].T
        return 0.5 * (elastic.square().sum(1) + state[:, self.strains : self.strains + n].square().sum(1))

    @torch.jit.export
    def dissipation(self, x: Tensor, state: Tensor) -> Tensor:
        """Return what the sliding elements dissipate ``[r]`` in a step to ``x[r, m]`` from ``state``; never negative.

        Sliding does the work R dp, here with the mean radius of the step.
        """
        n = self.elements * self.size
        memory = state[:, self.strains :]
        new = self.advance(self.drive(x, state[:, : self.strains]), memory)
        law, old, p = self.log_law.exp().T, memory[:, n:], new[:, n:]
        return (radius(0.5 * (old + p), law) * (p - old)).sum(1)

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the kernel with the tangent in closed form; see :meth:`Network.kernel`."""
        return OverlayKernel(self, A, S)


LARGEST = 16  # features, and components of an element, of the compiled step; MOST in its source
ELASTOPLASTIC = 0.7  # share of the stiffness that begins in the elements; the rest stays elastic
LARGEST_RADIUS = 1.6  # first R₀ of the element that yields last, in typical strains of an element
RANGES = ((0.1, 0.8), (0.16, 4.0), (0.3, 0.4))  # first spread of h, l (in typical strains) and c


class OverlayKernel(Kernel):
    """Stress and tangent of one block: the plane of stress and increment gives two rank-one pairs an element."""

    encoder: Tensor
    decoder: Tensor
    elastic: Tensor
    squares: Tensor
    constant: Tensor
    law: Tensor
    A: Tensor
    S: Tensor
    place: Tensor
    laned: Tensor
    fold: Tensor

    def __init__(self, network: PhysicallyRecurrent, A: Tensor, S: Tensor):
        super().__init__()
        self.compiled = native("overlay_point") and max(network.size, network.features) <= LARGEST
        copy = frozen_copy(network, torch.float64)
        n, self.k, self.d, self.m = copy.elements * copy.size, copy.elements, copy.size, copy.features
        D = copy.encoder()
        blocks = D[:n].view(self.k, self.d, self.m)
        elastic = D[n:].T @ D[n:]
        self.register_buffer("encoder", D[:n].T.contiguous())
        self.register_buffer("decoder", blocks.clone())
        self.register_buffer("elastic", elastic.contiguous())
        self.register_buffer("squares", torch.einsum("kdi,kdj->kij", blocks, blocks).flatten(1).contiguous())
        self.register_buffer("constant", elastic.reshape(1, -1).clone())
        self.register_buffer("law", copy.log_law.exp().T.contiguous())
        self.register_buffer("A", A.double().clone())
        self.register_buffer("S", S.double().clone())
        self.register_buffer("fold", torch.kron(self.S, self.A.T.contiguous()).T.contiguous())  # of row-major S C A
        self._lay_out(blocks)

    def _lay_out(self, blocks: Tensor) -> None:
        """Put the elements last and in whole groups of lanes, those of like radius together: they yield together."""
        lanes = int(load_library("overlay_point")[1].overlay_lanes()) if self.compiled else 1
        order = self.law[0].argsort()
        law = torch.stack([self.law[0], self.law[1], 1.0 / self.law[2], self.law[3]])
        parts = [part.reshape(-1, self.k)[:, order] for part in (blocks.permute(2, 1, 0), self.squares.T, law)]
        extra = (0, -self.k % lanes)
        filled = [torch.nn.functional.pad(part, extra, value=float(part is parts[2])).flatten() for part in parts]
        self.register_buffer("place", order.contiguous())
        self.register_buffer("laned", torch.cat(filled))

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, state and tangent of one block; see :meth:`Kernel.forward`."""
        if not torch.jit.is_scripting():  # noqa: SIM102  (the compiler must see this condition on its own)
            if self.compiled:
                self.native_forward(x, state, stress, new_state, tangent)
                return
        b, n, m = x.shape[0], self.k * self.d, self.m
        strain = x.narrow(1, 0, m)
        d = torch.mm(strain - state.narrow(1, 0, m), self.encoder).view(b, self.k, self.d)
        s, p = state.narrow(1, m, n).view(b, self.k, self.d), state.narrow(1, m + n, self.k)
        dd, sd, ss = (d * d).sum(2), (s * d).sum(2), (s * s).sum(2)
        if tangent is None:
            flow = advance(dd, sd, ss, p, self.law)
            A, B, plastic = flow.A, flow.B, flow.plastic
        else:
            slopes = advance_with_slopes(dd, sd, ss, p, self.law)
            A, B, plastic = slopes.A, slopes.B, slopes.plastic
            # Σ Dᵀ (B 1 + s ⊗ (2 A_dd d + A_sd s) + d ⊗ (2 B_dd d + B_sd s)) D
            u, v = torch.einsum("bkd,kdm->bkm", s, self.decoder), torch.einsum("bkd,kdm->bkm", d, self.decoder)
            right = torch.cat(
                [
                    2.0 * slopes.A_dd.unsqueeze(2) * v + slopes.A_sd.unsqueeze(2) * u,
                    2.0 * slopes.B_dd.unsqueeze(2) * v + slopes.B_sd.unsqueeze(2) * u,
                ],
                1,
            )
            C = torch.addmm(self.constant, B, self.squares).view(b, m, m)
            C = torch.baddbmm(C, torch.cat([u, v], 1).transpose(1, 2), right)
            tangent.view(b, m, m).copy_(self.S @ C @ self.A)
        new = new_state.narrow(1, m, n).view(b, self.k, self.d)
        torch.addcmul(A.unsqueeze(2) * s, B.unsqueeze(2), d, out=new)
        new_state.narrow(1, 0, m).copy_(strain)
        new_state.narrow(1, m + n, self.k).copy_(plastic)
        y = torch.addmm(strain @ self.elastic, new_state.narrow(1, m, n), self.encoder.T)
        torch.mm(y, self.S.T, out=stress)

    @torch.jit.unused
    def native_forward(
        self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None
    ) -> None:
        """Write the same by compiled code, all elements of a point side by side."""
        ffi, library = load_library("overlay_point")
        b, m, per = len(x), self.m, len(self.laned) // (self.m * self.d + self.m * self.m + 4)
        y = torch.empty(b, m, dtype=torch.float64)
        C = None if tangent is None else torch.empty(b, m * m, dtype=torch.float64)
        encoder, squares, law = self.laned.split([m * self.d * per, m * m * per, 4 * per])

        def at(array: Tensor | None) -> Any:
            return ffi.NULL if array is None else ffi.cast("double *", array.data_ptr())

        library.overlay_update(
            b, self.k, ffi.cast("long *", self.place.data_ptr()), self.d, m, at(x), x.stride(0), at(state),
            state.stride(0), at(encoder), at(squares), at(self.elastic), at(law), at(y), at(new_state),
            new_state.stride(0), at(C),
        )  # fmt: skip
        torch.mm(y, self.S.T, out=stress)
        if C is not None and tangent is not None:
            torch.mm(C, self.fold, out=tangent)
