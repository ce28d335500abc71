"""An independent small-strain J2 finite-element program in plane strain: NumPy and SciPy only, nothing of pointlaw.

Bilinear quadrilaterals with 2 × 2 Gauss points; radial return of Simo & Hughes 1998, Computational Inelasticity,
boxes 3.1 and 3.2 (doi 10.1007/b98904), in plain 3 × 3 tensors, with linear isotropic and Prager kinematic hardening;
B matrices in engineering shear; Newton's method on a sparse matrix. Its numbers are what a run of pointlaw on the same
mesh must give, because both discretise the same equations in the same way.
"""

import meshio
import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve

I3 = np.eye(3)
SYMMETRIC = 0.5 * (np.einsum("ik,jl->ijkl", I3, I3) + np.einsum("il,jk->ijkl", I3, I3))
DEVIATOR = SYMMETRIC - np.einsum("ij,kl->ijkl", I3, I3) / 3.0


def shape_gradients(xy):
    """Return dN/dx ``[e, 4, 4, 2]`` (Gauss point, node, direction) and weights ``[e, 4]`` of cells ``xy[e, 4, 2]``."""
    g = 1.0 / np.sqrt(3.0)
    nodes = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    local = np.array([
        [(s * (1 + t * eta) / 4, t * (1 + s * xi) / 4) for s, t in nodes]
        for xi, eta in ((-g, -g), (g, -g), (g, g), (-g, g))
    ])  # fmt: skip
    jacobian = np.einsum("qni,enj->eqij", local, xy)
    return np.einsum("eqij,qnj->eqni", np.linalg.inv(jacobian), local), np.linalg.det(jacobian)


class TextbookJ2:
    """E, ν, σ_y, isotropic modulus H, Prager modulus C (X = 2/3 C ε_p)."""

    def __init__(self, E, nu, yield_stress, H, C=0.0):
        self.G, self.K = E / (2 * (1 + nu)), E / (3 * (1 - 2 * nu))
        self.yield_stress, self.H, self.C = yield_stress, H, C
        self.elastic = self.K * np.einsum("ij,kl->ijkl", I3, I3) + 2 * self.G * DEVIATOR

    def answer(self, strain, plastic, alpha):
        """Return stress, tangent, new plastic strain and new α of strains ``[..., 3, 3]``."""
        G, K = self.G, self.K
        elastic = strain - plastic
        trace = np.trace(elastic, axis1=-2, axis2=-1)[..., None, None]
        trial = 2 * G * (elastic - trace * I3 / 3)
        xi = trial - 2.0 / 3.0 * self.C * plastic
        length = np.sqrt(np.einsum("...ij,...ij", xi, xi))
        f = length - np.sqrt(2.0 / 3.0) * (self.yield_stress + self.H * alpha)
        flows = f > 0
        gamma = np.where(flows, f / (2 * G + 2.0 / 3.0 * (self.H + self.C)), 0.0)
        n = xi / np.where(length > 0, length, 1.0)[..., None, None]
        stress = K * trace * I3 + trial - 2 * G * gamma[..., None, None] * n
        theta = 1 - 2 * G * gamma / np.where(flows, length, 1.0)
        bar = np.where(flows, 1 / (1 + (self.H + self.C) / (3 * G)) - (1 - theta), 0.0)
        tangent = (
            K * np.einsum("ij,kl->ijkl", I3, I3)
            + 2 * G * theta[..., None, None, None, None] * DEVIATOR
            - 2 * G * np.einsum("...,...ij,...kl->...ijkl", bar, n, n)
        )
        return stress, tangent, plastic + gamma[..., None, None] * n, alpha + np.sqrt(2.0 / 3.0) * gamma


class TextbookPlate:
    """A mesh of quadrilaterals in plane strain; ``step(fixed)`` finds equilibrium with dofs ``{dof: value}``."""

    def __init__(self, path, law):
        data = meshio.read(path)
        self.points, self.cells = data.points[:, :2], data.cells_dict["quad"]
        self.law = law
        self.gradients, self.weights = shape_gradients(self.points[self.cells])
        shape = self.weights.shape
        self.plastic, self.alpha = np.zeros((*shape, 3, 3)), np.zeros(shape)
        self.u, self.forces = np.zeros(2 * len(self.points)), np.zeros(2 * len(self.points))
        self.dofs = np.stack([2 * self.cells, 2 * self.cells + 1], axis=2).reshape(len(self.cells), 8)

    def strain(self, u):
        gradient = np.zeros((*self.weights.shape, 3, 3))
        gradient[..., :2, :2] = np.einsum("eqnj,eni->eqij", self.gradients, u.reshape(-1, 2)[self.cells])
        return (gradient + np.swapaxes(gradient, -1, -2)) / 2

    def step(self, fixed, tolerance=1e-11):
        """Go to equilibrium and accept it."""
        held, values = np.array(list(fixed)), np.array(list(fixed.values()))
        free = np.setdiff1d(np.arange(len(self.u)), held)
        u = self.u.copy()
        change = np.zeros_like(u)
        change[held] = values - u[held]
        first = True
        for _ in range(40):
            stress, tangent, plastic, alpha = self.law.answer(self.strain(u), self.plastic, self.alpha)
            cell_forces = np.einsum("eq,eqij,eqnj->eni", self.weights, stress[..., :2, :2], self.gradients)
            forces = np.bincount(self.dofs.ravel(), cell_forces.ravel(), minlength=len(u))
            if not first and np.linalg.norm(forces[free]) < tolerance * np.linalg.norm(forces):
                break
            # The supports move with the elastic stiffness: the plastic one would be far too soft when they turn back.
            stiffness = self._stiffness(np.broadcast_to(self.law.elastic, tangent.shape) if first else tangent)
            right = -forces - (stiffness @ change if first else 0.0)
            if first:
                u += change
                first = False
            u[free] += spsolve(stiffness[free][:, free], right[free])
        else:
            raise RuntimeError("the textbook program did not converge")
        self.u, self.plastic, self.alpha, self.forces = u, plastic, alpha, forces

    def _stiffness(self, tangent):
        local = np.einsum(
            "eq,eqmj,eqijkl,eqnl->emink",
            self.weights,
            self.gradients,
            tangent[..., :2, :2, :2, :2],
            self.gradients,
            optimize=True,
        )
        local = local.reshape(len(self.cells), 8, 8)
        rows, columns = np.repeat(self.dofs, 8, axis=1).ravel(), np.tile(self.dofs, 8).ravel()
        return sparse.csr_matrix((local.ravel(), (rows, columns)), shape=(len(self.u), len(self.u)))
