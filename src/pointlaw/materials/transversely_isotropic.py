"""Transversely isotropic linear elasticity: fibre-reinforced and layered solids."""

from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.stiffness import ConstantStiffness, orthotropic_compliance
from pointlaw.tensors import Array, rotation


class TransverselyIsotropic(ConstantStiffness):
    """Hooke's law of a solid with one preferred direction.

    Parameters
    ----------
    E_axial, E_plane : float
        Young's moduli along the axis and in the plane of isotropy, unit of stress.
    nu_axial : float
        Contraction in the plane under tension along the axis.
    nu_plane : float
        Poisson's ratio within the plane, −1 < ν < 1; the shear modulus there is ``E_plane/(2 (1 + nu_plane))``.
    G_axial : float
        Shear modulus of planes that contain the axis, unit of stress.
    axis : [3]
        The preferred direction; normalised here.
    """

    def __init__(
        self,
        E_axial: float,
        E_plane: float,
        nu_axial: float,
        nu_plane: float,
        G_axial: float,
        *,
        axis: Sequence[float] = (0.0, 0.0, 1.0),
    ):
        name = "TransverselyIsotropic"
        checks.positive(name, E_axial=E_axial, E_plane=E_plane, G_axial=G_axial)
        checks.finite(name, nu_axial=nu_axial, nu_plane=nu_plane)
        if not -1.0 < nu_plane < 1.0:
            raise InputError(f"{name}: nu_plane = {nu_plane} must lie between -1 and 1.")
        E = np.array([E_axial, E_plane, E_plane])
        nu = np.array([nu_axial, nu_axial, nu_plane])
        G = np.array([G_axial, G_axial, 0.5 * E_plane / (1.0 + nu_plane)])
        self.E_axial, self.E_plane, self.nu_axial, self.nu_plane = E_axial, E_plane, nu_axial, nu_plane
        self.G_axial, self.axis = G_axial, tuple(axis)
        Q = rotation(frame_along(name, axis))
        super().__init__(Q @ orthotropic_compliance(E, nu, G) @ Q.T)


def frame_along(law: str, axis: Sequence[float]) -> Array:
    """Return a rotation ``[3, 3]`` whose first column is ``axis``, normalised; ``InputError`` if it has no length."""
    direction = checks.array(law, "axis", axis)
    if direction.shape != (3,) or not np.linalg.norm(direction) > 0.0 or not np.all(np.isfinite(direction)):
        raise InputError(f"{law}: axis = {axis} must be three finite numbers, not all 0.")
    first = direction / np.linalg.norm(direction)
    second = np.cross(first, np.eye(3)[np.argmin(np.abs(first))])
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)
