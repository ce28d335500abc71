"""A law made stiffer and stronger by a factor, for all points or differently at every point.

If all parameters of a law that have the unit of a stress grow by a factor, its stress does too. One random field of
such factors therefore needs no law of its own at every point: one call of the law answers for all.
"""

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response, StatusArray, extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.fields import spread
from pointlaw.tensors import Array


class Scaled(BlockedMaterial):
    """A law whose stress and tangent are multiplied by a factor: a field of stiffness and strength together.

    Parameters
    ----------
    law : Material
        Any law.
    factor : float or [n]
        Positive, dimensionless; one for all points, or one for each point or cell as in
        :func:`~pointlaw.materials.fields.spread`; the latter are kept in the state under ``factor`` (1).

    Notes
    -----
    State variables with the unit of stress are those of the unscaled law.
    """

    def __init__(self, law: Material, factor: ArrayLike):
        checks.not_collective("Scaled", law)
        values = checks.array("Scaled", "factor", factor)
        if values.ndim > 1 or not np.all(np.isfinite(values) & (values > 0.0)):
            raise InputError(f"Scaled: the factors must be one or a list of finite numbers > 0; got {values.tolist()}.")
        self.law, self.factor = law, values
        self.kinematics, self.symmetric = law.kinematics, law.symmetric
        self._own = values.ndim
        self.state_layout = extended({"factor": 1} if self._own else {}, law.state_layout)

    def initial_state(self, points: int) -> Array:
        """Return the initial state of the law, after the factor of every point where they differ."""
        inner = self.law.initial_state(points)
        if not self._own:
            return inner
        return np.concatenate([spread("Scaled", self.factor[:, None], points), inner], axis=1)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state[:, self._own :], status)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        factor = state[:, 0] if self._own else np.broadcast_to(self.factor, len(strain))
        answer = self.law.update(strain, state[:, self._own :], dt, tangent=out.tangent is not None)
        np.multiply(answer.stress, factor[:, None], out=out.stress)
        out.state[:, : self._own] = state[:, : self._own]
        out.state[:, self._own :] = answer.state
        if out.tangent is not None and answer.tangent is not None:
            np.multiply(answer.tangent, factor[:, None, None], out=out.tangent)
        out.dt_factor = answer.dt_factor
        return answer.status
