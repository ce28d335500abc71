"""Which strain a law takes and which conjugate stress it answers with.

A :class:`Kinematics` is the first thing a material and a finite-element region compare: it fixes the number of
components ``m``, their order and the space they live in. Small strain uses Mandel order; finite strain uses the
deformation gradient and the first Piola–Kirchhoff stress, row by row.
"""

from dataclasses import dataclass

import numpy as np

from pointlaw.tensors.mandel import Array


@dataclass(frozen=True)
class Kinematics:
    """A strain measure with its conjugate stress.

    ``name`` is what law files and error messages say; ``dim`` is the dimension of the mesh it fits;
    ``components`` names the ``size`` entries of a strain or stress vector in order.
    """

    name: str
    dim: int
    components: tuple[str, ...]
    finite: bool = False

    @property
    def size(self) -> int:
        """Number of components ``m``."""
        return len(self.components)

    @property
    def strain_name(self) -> str:
        """Name of the strain measure."""
        return "deformation gradient" if self.finite else "infinitesimal strain (Mandel)"

    @property
    def stress_name(self) -> str:
        """Name of the conjugate stress."""
        return "first Piola–Kirchhoff stress" if self.finite else "Cauchy stress (Mandel)"

    @property
    def reference(self) -> Array:
        """The strain vector ``[m]`` of the undeformed body: zero, or the identity at finite strain."""
        if not self.finite:
            return np.zeros(self.size)
        return np.array([1.0 if label == "θ" or label[0] == label[-1] != "p" else 0.0 for label in self.components])

    def __str__(self) -> str:
        return f"{self.name} (m = {self.size}, {self.dim}D)"


SMALL_STRAIN_3D = Kinematics("small_strain_3d", 3, ("11", "22", "33", "√2·23", "√2·13", "√2·12"))
AXISYMMETRIC = Kinematics("axisymmetric", 2, ("rr", "zz", "θθ", "√2·rz"))
PLANE_STRAIN = Kinematics("plane_strain", 2, ("11", "22", "√2·12"))
PLANE_STRESS = Kinematics("plane_stress", 2, ("11", "22", "√2·12"))
UNIAXIAL = Kinematics("uniaxial", 1, ("11",))
FINITE_STRAIN_3D = Kinematics("finite_strain_3d", 3, tuple(f"{i}{j}" for i in "123" for j in "123"), finite=True)
FINITE_PLANE_STRAIN = Kinematics("finite_plane_strain", 2, ("11", "12", "21", "22"), finite=True)

KINEMATICS: dict[str, Kinematics] = {
    k.name: k
    for k in (
        SMALL_STRAIN_3D,
        AXISYMMETRIC,
        PLANE_STRAIN,
        PLANE_STRESS,
        UNIAXIAL,
        FINITE_STRAIN_3D,
        FINITE_PLANE_STRAIN,
    )
}
