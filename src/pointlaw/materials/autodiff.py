"""Laws written in a few lines of torch for one point; pointlaw does the batch, the derivatives and the local solver.

The user writes an energy (:class:`EnergyLaw`), a stress update (:class:`UpdateLaw`) or the implicit equations of a step
(:class:`ImplicitLaw`) as a plain function of torch tensors of *one* point; rows cannot mix. The tangent is exact:
differentiation of the update, or the implicit function theorem at the solution (never the unrolled iterations).

>>> import torch
>>> from pointlaw.tensors import FINITE_STRAIN_3D
>>> def energy(F, mu, K):
...     F = F.reshape(3, 3)
...     J = torch.linalg.det(F)
...     return mu / 2 * (J ** (-2 / 3) * (F * F).sum() - 3) + K / 4 * (J**2 - 1 - 2 * torch.log(J))
>>> law = EnergyLaw(energy, parameters={"mu": 1.0, "K": 10.0}, kinematics=FINITE_STRAIN_3D)

Every parameter is a number, or an array ``[n]`` with a value for every point or cell, which then travels in the state.
Choices are written with ``torch.where``; note that both branches are differentiated, so keep ``sqrt`` and divisions
away from 0 in the branch that is not taken. Importing this module imports torch.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.func import vmap

from pointlaw.errors import InputError
from pointlaw.materials.base import PointStatus, Response, StateLayout, StatusArray, extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.fields import spread
from pointlaw.materials.newton import Rows, newton_rows
from pointlaw.tensors import SMALL_STRAIN_3D, Array, Kinematics

State = dict[str, Tensor]


class AutodiffMaterial(BlockedMaterial):
    """Common part of the three kinds of laws; use one of them.

    A state variable of size 1 is given to the user's function as a scalar, a larger one as a vector.
    """

    block = 2048  # larger than for NumPy laws: a call of torch costs as much as hundreds of points

    def __init__(
        self,
        kinematics: Kinematics,
        state: Mapping[str, int] | None,
        initial: Mapping[str, ArrayLike] | None,
        parameters: Mapping[str, ArrayLike] | None,
        symmetric: bool,
    ):
        name = type(self).__name__
        self.kinematics, self.symmetric = kinematics, symmetric
        self.state, self.initial, self.parameters = dict(state or {}), dict(initial or {}), dict(parameters or {})
        self._variables = StateLayout(dict(state or {}))
        self._constants: State = {}
        self._fields: dict[str, Array] = {}
        for key, value in (parameters or {}).items():
            array = np.asarray(value, dtype=float)
            if array.ndim > 1 or not np.all(np.isfinite(array)):
                raise InputError(f"{name}: parameter {key} must be a finite number or an array [n] of such.")
            if array.ndim == 1:
                self._fields[key] = array
            else:
                self._constants[key] = torch.tensor(float(array), dtype=torch.float64)
        self._initial = {key: np.atleast_1d(np.asarray(value, dtype=float)) for key, value in (initial or {}).items()}
        for key, value in self._initial.items():
            if key not in self._variables or value.shape != (self._variables.sizes[key],):
                raise InputError(f"{name}: initial value {key} has shape {value.shape}; state: {self._variables}.")
        self.state_layout = extended({f"parameter_{key}": 1 for key in self._fields}, self._variables)

    def initial_state(self, points: int) -> Array:
        """Return the fields of parameters and the initial values, ``[points, s]``."""
        rows = np.zeros((points, self.state_layout.size))
        for column, (key, values) in enumerate(self._fields.items()):
            rows[:, column] = spread(f"{type(self).__name__}: parameter {key}", values, points)
        for key, value in self._initial.items():
            rows[:, self.state_layout[key]] = value
        return rows

    def _read(self, row: Tensor) -> tuple[State, State]:
        """Return the variables and the parameters of one state row ``[s]``."""
        parts = {key: row[where] for key, where in self.state_layout.items() if key in self._variables}
        variables = {key: part[0] if len(part) == 1 else part for key, part in parts.items()}
        varying = {key: row[column] for column, key in enumerate(self._fields)}
        return variables, {**self._constants, **varying}

    def _write(self, row: Tensor, new: State) -> Tensor:
        """Return the new state row from the user's variables; the parameters are kept."""
        if new.keys() != self._variables.keys():
            raise InputError(f"{type(self).__name__}: the new state has {list(new)}; expected {list(self._variables)}.")
        return torch.cat([row[: len(self._fields)], *(new[key].reshape(-1) for key in self._variables)])

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        try:
            return self._write_block(strain, state, dt, out)
        except torch.linalg.LinAlgError:
            # torch gives up a whole batch for one singular matrix: find the row, so that only it fails.
            if len(strain) == 1:
                out.stress[...] = out.state[...] = np.nan
                return np.array([PointStatus.FAILED], dtype=np.int8)
        status = np.empty(len(strain), dtype=np.int8)
        for part in np.array_split(np.arange(len(strain)), 2):
            rows = slice(part[0], part[-1] + 1)
            moduli = None if out.tangent is None else out.tangent[rows]
            piece = Response(out.stress[rows], moduli, out.state[rows])
            given = self.update_block(strain[rows], state[rows], dt, piece)
            status[rows] = PointStatus.FINE if given is None else given
        return status

    @abstractmethod
    def _write_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; a singular matrix in it may raise."""

    @abstractmethod
    def derivatives(self, strain: Array, state: Array, dt: float) -> tuple[Array, Array, Array, Array]:
        """Return ∂σ/∂ε, ∂σ/∂s, ∂s′/∂ε and ∂s′/∂s, see :class:`~pointlaw.materials.substepped.Differentiable`."""


class _ExplicitLaw(AutodiffMaterial):
    """A law whose stress and state are functions of strain, state and step."""

    @abstractmethod
    def _batch(self, strain: Tensor, rows: Tensor, dt: float, graph: bool) -> tuple[Tensor, Tensor]:
        """Return stress ``[p, m]`` and new state rows ``[p, s]``, differentiable if ``graph``."""

    def _write_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        wanted = out.tangent is not None
        e, rows = _tensor(strain, wanted), _tensor(state)
        stress, new = self._batch(e, rows, dt, wanted)
        out.stress[...], out.state[...] = _numpy(stress), _numpy(new)
        if out.tangent is not None:
            out.tangent[...] = _numpy(_jacobians(stress, (e,))[0])
        return None

    def derivatives(self, strain: Array, state: Array, dt: float) -> tuple[Array, Array, Array, Array]:
        """Return ∂σ/∂ε, ∂σ/∂s, ∂s′/∂ε and ∂s′/∂s; see :meth:`AutodiffMaterial.derivatives`."""
        inputs = (_tensor(strain, True), _tensor(state, True))
        stress, new = self._batch(*inputs, dt, True)
        (a, b), (c, d) = _jacobians(stress, inputs), _jacobians(new, inputs)
        return _numpy(a), _numpy(b), _numpy(c), _numpy(d)


class EnergyLaw(_ExplicitLaw):
    """A law without memory, given by its energy: stress and tangent are its first and second derivatives.

    Parameters
    ----------
    energy : callable
        ``energy(strain[m], **parameters) -> scalar``, energy per volume.
    parameters : mapping of str to float or [n], optional
    kinematics : Kinematics
        Of the strain; at finite strain it is F, row by row.
    """

    def __init__(
        self,
        energy: Callable[..., Tensor],
        *,
        parameters: Mapping[str, ArrayLike] | None = None,
        kinematics: Kinematics = SMALL_STRAIN_3D,
    ):
        super().__init__(kinematics, None, None, parameters, True)
        self.energy = energy

    def _batch(self, strain: Tensor, rows: Tensor, dt: float, graph: bool) -> tuple[Tensor, Tensor]:
        e = strain if strain.requires_grad else strain.clone().requires_grad_()
        energy = vmap(lambda e, row: self.energy(e, **self._read(row)[1]))(e, rows)
        return torch.autograd.grad(energy.sum(), e, create_graph=graph)[0], rows.clone()


class UpdateLaw(_ExplicitLaw):
    """A law given by its stress update.

    Parameters
    ----------
    step : callable
        ``step(strain[m], state, dt, **parameters) -> (stress[m], new_state)``, the states being dictionaries.
    state : mapping of str to int
        Sizes of the state variables.
    initial : mapping of str to [size], optional
        Their values in the virgin material, where they are not 0.
    parameters, kinematics
        As for :class:`EnergyLaw`.
    symmetric : bool
        Whether the tangent is always symmetric.
    """

    def __init__(
        self,
        step: Callable[..., tuple[Tensor, State]],
        *,
        state: Mapping[str, int],
        initial: Mapping[str, ArrayLike] | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
        kinematics: Kinematics = SMALL_STRAIN_3D,
        symmetric: bool = False,
    ):
        super().__init__(kinematics, state, initial, parameters, symmetric)
        self.step = step

    @property
    def identity(self) -> str:
        """Class and name of the step function, which gives the state its meaning; see :attr:`Material.identity`."""
        return f"{type(self).__name__}({_name(self.step)})"

    def _batch(self, strain: Tensor, rows: Tensor, dt: float, graph: bool) -> tuple[Tensor, Tensor]:
        def point(e: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            variables, parameters = self._read(row)
            stress, new = self.step(e, variables, dt, **parameters)
            return stress, self._write(row, new)

        return vmap(point)(strain, rows)


class ImplicitLaw(AutodiffMaterial):
    """A law given by the implicit equations of a step, solved point by point with Newton and line search.

    Parameters
    ----------
    residual : callable
        ``residual(unknowns[k], strain[m], state, dt, **parameters) -> [k]``, zero at the end of the step. Scale it (and
        the unknowns) so that 1 is large.
    answer : callable
        ``answer(unknowns[k], strain[m], state, dt, **parameters) -> (stress[m], new_state)``.
    guess : callable, optional
        ``guess(strain[m], state, dt, **parameters) -> [k]``, where the iteration starts; zeros by default.
    unknowns : int
        Their number k.
    state, initial, parameters, kinematics, symmetric
        As for :class:`UpdateLaw`.
    tolerance : float
        A point is solved when the Euclidean norm of its residual is at most this; others answer ``FAILED``.
    iterations : int
        Largest number of Newton steps.
    """

    def __init__(
        self,
        residual: Callable[..., Tensor],
        answer: Callable[..., tuple[Tensor, State]],
        *,
        unknowns: int,
        state: Mapping[str, int],
        guess: Callable[..., Tensor] | None = None,
        initial: Mapping[str, ArrayLike] | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
        kinematics: Kinematics = SMALL_STRAIN_3D,
        symmetric: bool = False,
        tolerance: float = 1e-12,
        iterations: int = 50,
    ):
        super().__init__(kinematics, state, initial, parameters, symmetric)
        if unknowns < 1:
            raise InputError(f"ImplicitLaw: unknowns = {unknowns} must be at least 1.")
        if not 0.0 < tolerance < 1e-3:
            raise InputError(f"ImplicitLaw: tolerance = {tolerance} must lie between 0 and 0.001.")
        self.residual, self.answer, self.guess = residual, answer, guess
        self.unknowns, self.tolerance, self.iterations = unknowns, tolerance, iterations

    @property
    def identity(self) -> str:
        """Class and names of the functions, which give the state its meaning; see :attr:`Material.identity`."""
        return f"{type(self).__name__}({_name(self.residual)}, {_name(self.answer)})"

    def _equations(self, x: Tensor, strain: Tensor, rows: Tensor, dt: float) -> Tensor:
        """Return the residual ``[p, k]``."""

        def point(x: Tensor, e: Tensor, row: Tensor) -> Tensor:
            variables, parameters = self._read(row)
            return self.residual(x, e, variables, dt, **parameters)

        return vmap(point)(x, strain, rows)

    def _outcome(self, x: Tensor, strain: Tensor, rows: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        """Return stress ``[p, m]`` and new state rows ``[p, s]``."""

        def point(x: Tensor, e: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            variables, parameters = self._read(row)
            stress, new = self.answer(x, e, variables, dt, **parameters)
            return stress, self._write(row, new)

        return vmap(point)(x, strain, rows)

    def _solve(self, e: Tensor, rows: Tensor, dt: float) -> tuple[Array, StatusArray]:
        """Return the unknowns ``[p, k]`` and the status of every point."""

        def start(strain: Tensor, row: Tensor) -> Tensor:
            variables, parameters = self._read(row)
            if self.guess is None:
                return torch.zeros(self.unknowns, dtype=torch.float64)
            return self.guess(strain, variables, dt, **parameters)

        def residual(x: Array, which: Rows) -> Array:
            return _numpy(self._equations(_tensor(x), e[which], rows[which], dt))

        def direction(x: Array, r: Array, which: Rows) -> Array:
            unknowns = _tensor(x, True)
            J = _jacobians(self._equations(unknowns, e[which], rows[which], dt), (unknowns,))[0]
            return -_numpy(_solve(J, _tensor(r)[:, :, None])[:, :, 0])

        first = _numpy(vmap(start)(e, rows))
        x, solved = newton_rows(residual, direction, first, tolerance=self.tolerance, iterations=self.iterations)
        return x, np.where(solved, np.int8(PointStatus.FINE), np.int8(PointStatus.FAILED))

    def _write_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        e, rows = _tensor(strain), _tensor(state)
        solution, status = self._solve(e, rows, dt)
        wanted = out.tangent is not None
        x, e = _tensor(solution, wanted), e.requires_grad_(wanted)
        stress, new = self._outcome(x, e, rows, dt)
        out.stress[...], out.state[...] = _numpy(stress), _numpy(new)
        if out.tangent is not None:
            # dx/dε = −(∂R/∂x)⁻¹ ∂R/∂ε at the solution.
            J, by_strain = _jacobians(self._equations(x, e, rows, dt), (x, e))
            by_x, direct = _jacobians(stress, (x, e))
            out.tangent[...] = _numpy(direct - by_x @ _solve(J, by_strain))
        return status

    def derivatives(self, strain: Array, state: Array, dt: float) -> tuple[Array, Array, Array, Array]:
        """Return ∂σ/∂ε, ∂σ/∂s, ∂s′/∂ε and ∂s′/∂s; see :meth:`AutodiffMaterial.derivatives`."""
        e, rows = _tensor(strain), _tensor(state)
        inputs = (_tensor(self._solve(e, rows, dt)[0], True), e.requires_grad_(), rows.requires_grad_())
        J, by_e, by_s = _jacobians(self._equations(*inputs, dt), inputs)
        x_e, x_s = -_solve(J, by_e), -_solve(J, by_s)
        stress, new = self._outcome(*inputs, dt)
        of_stress, of_new = _jacobians(stress, inputs), _jacobians(new, inputs)
        return (
            _numpy(of_stress[1] + of_stress[0] @ x_e),
            _numpy(of_stress[2] + of_stress[0] @ x_s),
            _numpy(of_new[1] + of_new[0] @ x_e),
            _numpy(of_new[2] + of_new[0] @ x_s),
        )


def _name(function: Callable[..., object]) -> str:
    """Return the name of a function as it stands in its file: the same in every process, whoever imports it."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _tensor(array: Array, differentiable: bool = False) -> Tensor:
    """Return a copy of ``array`` as a tensor; the user's function can then do it no harm."""
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64, requires_grad=differentiable)


def _numpy(tensor: Tensor) -> Array:
    """Return the values of a tensor."""
    return tensor.detach().numpy()


def _jacobians(values: Tensor, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return ``∂values/∂input`` ``[p, k, n]`` of ``values[p, k]`` for every input ``[p, n]``: one sweep a component.

    Row p of the values depends on row p of the inputs alone, so the gradient of a column's sum holds all rows at once.
    """
    if not values.requires_grad:
        return [values.new_zeros(*values.shape, x.shape[1]) for x in inputs]
    sweeps = [
        torch.autograd.grad(column.sum(), inputs, retain_graph=True, materialize_grads=True)
        for column in values.unbind(dim=1)
    ]
    if not sweeps:
        return [values.new_zeros(*values.shape, x.shape[1]) for x in inputs]
    return [torch.stack(rows, dim=1) for rows in zip(*sweeps, strict=True)]


def _solve(matrices: Tensor, right: Tensor) -> Tensor:
    """Solve ``matrices[p, k, k] x = right[p, k, q]``; a singular row becomes NaN instead of an exception."""
    answer, info = torch.linalg.solve_ex(matrices, right)
    return torch.where((info == 0)[:, None, None], answer, torch.nan).detach()
