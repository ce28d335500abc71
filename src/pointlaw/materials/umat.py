"""The UMAT door: an unmodified Abaqus user material, Fortran or C, as a Material.

Abaqus' order of components, engineering shear and column-major DDSDDE exist on the far side of this door only. What
Abaqus keeps for a point (stress, strain, STATEV, energies, times) is kept in the state, so that a UMAT becomes a pure
function like every other law.
"""

import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import PointStatus, Response, StateLayout, StatusArray, finite_rows
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.umat_library import UMATCrash, crash_sentence, load_umat
from pointlaw.tensors import AXISYMMETRIC, PLANE_STRESS, SMALL_STRAIN_3D, SQRT2, Array, Kinematics
from pointlaw.tensors.mandel import UMAT_FROM_MANDEL

# NTENS: kinematics, NDI, position in Mandel order of every component of Abaqus.
_KINDS: dict[int, tuple[Kinematics, int, list[int]]] = {
    6: (SMALL_STRAIN_3D, 3, UMAT_FROM_MANDEL.tolist()),
    4: (AXISYMMETRIC, 3, [0, 1, 2, 3]),
    3: (PLANE_STRESS, 2, [0, 1, 2]),
}


class UMAT(BlockedMaterial):
    """A compiled Abaqus UMAT, small strain.

    >>> law = UMAT("libmylaw.so", props=[210e3, 0.3], nstatv=13)  # doctest: +SKIP

    Parameters
    ----------
    library : path
        Shared library with the symbol ``umat_`` (``gfortran -shared -fPIC -o libmylaw.so mylaw.f``).
    props : sequence of float
        PROPS, in the order the UMAT reads them.
    nstatv : int
        NSTATV, number of solution-dependent state variables.
    ntens : int
        6 for a solid, 4 for axial symmetry (in-plane order 11, 22, 33, 12), 3 for plane stress.
    name : str
        CMNAME, handed over in capitals and padded to 80 characters.
    initial_statev : sequence of float, optional
        STATEV of the virgin material; zeros by default.
    symmetric : bool
        Whether DDSDDE is always symmetric.
    sha256 : str, optional
        SHA-256 that the library must have; found out if omitted. Datasets and law files keep it, so that they are not
        gone on with by another library under the same name.

    Raises
    ------
    InputError
        If the library is missing, is not the one of ``sha256``, was rebuilt after it was loaded, has no UMAT, or does
        not fit ``ntens``, ``nstatv`` or ``props``; found out in a child process before the library is loaded here.
    UMATCrash
        If the library crashes, stops or calls XIT: in that trial, or later while running.

    Notes
    -----
    State: ``stress`` and ``strain`` (m, Mandel), ``statev``, ``energy`` (SSE, SPD, SCD), ``time`` and ``increment``.
    TIME is the sum of the steps so far, KSTEP 1, KINC the number of the step; NOEL, NPT, LAYER, KSPT and CELENT are 1,
    temperature and fields 0, DROT the unit matrix, DFGRD0 and DFGRD1 ``1 + ε``. PNEWDT < 1 fails the point and becomes
    ``dt_factor``. A point whose strain or state is not finite fails without a call. XIT, STDB_ABQERR, SINV, SPRINC and
    ROTSIG are provided. A STOP during a run cannot be undone: it ends the process with a message and exit code 70
    instead of silently.
    """

    block = 4096

    def __init__(
        self,
        library: str | os.PathLike[str],
        *,
        props: Sequence[float] = (),
        nstatv: int = 0,
        ntens: int = 6,
        name: str = "POINTLAW",
        initial_statev: Sequence[float] | None = None,
        symmetric: bool = False,
        sha256: str | None = None,
    ):
        if ntens not in _KINDS:
            raise InputError(f"UMAT: ntens = {ntens} must be 6 (solid), 4 (axial symmetry) or 3 (plane stress).")
        if not isinstance(nstatv, int | np.integer) or nstatv < 0:
            raise InputError(f"UMAT: nstatv = {nstatv} must be an integer ≥ 0.")
        values = [0.0] * nstatv if initial_statev is None else initial_statev
        checks.numbers("UMAT", props=props, initial_statev=values)
        values = [float(value) for value in values]
        if len(values) != nstatv:
            raise InputError(f"UMAT: initial_statev has {len(values)} values; nstatv is {nstatv}.")
        self.kinematics, self._ndi, order = _KINDS[ntens]
        self._order = np.array(order)
        self._scale = np.where(np.arange(ntens) < self._ndi, 1.0, SQRT2)
        self.library, self.name, self.nstatv, self.ntens = os.fspath(library), name, nstatv, ntens
        self.initial_statev = values
        self._name = name.upper().ljust(80)[:80].encode()
        self.props = np.array([float(value) for value in props])
        self._statev = np.array(values)
        self._library = load_umat(
            library,
            ndi=self._ndi,
            ntens=ntens,
            statev=values,
            props=self.props.tolist(),
            name=name,
            sha256=sha256,
        )
        self.symmetric, self.sha256 = symmetric, self._library.sha256
        self.state_layout = StateLayout(stress=ntens, strain=ntens, statev=nstatv, energy=3, time=1, increment=1)

    @property
    def identity(self) -> str:
        """Class, material name and library, because STATEV has no names; see :attr:`Material.identity`."""
        return f"{type(self).__name__}('{self.name}' of {Path(self.library).name})"

    def initial_state(self, points: int) -> Array:
        """Return no stress, no strain, the initial STATEV and time 0."""
        state = np.zeros((points, self.state_layout.size))
        state[:, self.state_layout["statev"]] = self._statev
        return state

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block: into Abaqus' order, through the compiled loop, and back."""
        sound = finite_rows(strain) & finite_rows(state)
        if not sound.all():
            return self._update_some(np.flatnonzero(sound), strain, state, dt, out)
        old = self.state_layout.split(state)
        points, m = strain.shape
        order, scale = self._order, self._scale
        stress = np.ascontiguousarray(old["stress"][:, order] / scale)
        before = np.ascontiguousarray(old["strain"][:, order] * scale)
        step = np.ascontiguousarray((strain - old["strain"])[:, order] * scale)
        statev, energy = np.ascontiguousarray(old["statev"]).copy(), np.ascontiguousarray(old["energy"]).copy()
        time = np.repeat(old["time"], 2, axis=1)
        count = np.ascontiguousarray(np.nan_to_num(old["increment"][:, 0]) + 1.0).astype(np.int32)
        moduli, factor = np.empty((points, m, m)), np.ones(points)
        self._call(points, dt, stress, statev, moduli, energy, before, step, time, count, factor)
        back = np.argsort(order)
        out.stress[...] = (stress * scale)[:, back]
        new = self.state_layout.split(out.state)
        new["stress"][...], new["strain"][...] = out.stress, strain
        new["statev"][...], new["energy"][...] = statev, energy
        new["time"][...], new["increment"][...] = old["time"] + dt, old["increment"] + 1.0
        if out.tangent is not None:
            # Column-major DDSDDE, and engineering shear on one side, stress on the other.
            out.tangent[...] = (moduli.swapaxes(1, 2) * np.outer(scale, scale))[:, back[:, None], back]
        asked = factor != 1.0
        if asked.any():
            out.dt_factor = float(factor[asked].min())
        return np.where(factor < 1.0, np.int8(PointStatus.FAILED), np.int8(PointStatus.FINE))

    def _update_some(
        self, rows: NDArray[np.intp], strain: Array, state: Array, dt: float, out: Response
    ) -> StatusArray:
        """Write the answer for the finite ``rows``; the others fail unseen, for a UMAT may end the run at a NaN."""
        status = np.full(len(strain), np.int8(PointStatus.FAILED))
        out.stress[...], out.state[...] = np.nan, state
        part = self.update(strain[rows], state[rows], dt, tangent=out.tangent is not None)
        out.stress[rows], out.state[rows], status[rows] = part.stress, part.state, np.asarray(part.status)
        if out.tangent is not None and part.tangent is not None:
            out.tangent[...] = np.nan
            out.tangent[rows] = part.tangent
        out.dt_factor = part.dt_factor
        return status

    def _call(
        self,
        points: int,
        dt: float,
        stress: Array,
        statev: Array,
        moduli: Array,
        energy: Array,
        before: Array,
        step: Array,
        time: Array,
        count: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
        factor: Array,
    ) -> None:
        """Run the compiled loop, which fills the arrays; raise ``UMATCrash`` if the library did not come back."""
        reached = ctypes.c_int(0)
        library, ntens = self._library, stress.shape[1]
        with _ONE_AT_A_TIME:  # COMMON blocks and SAVE variables are shared by all threads
            code = library.driver.pointlaw_umat(
                library.routine,
                library.path.encode(),
                1,
                points,
                self._ndi,
                ntens - self._ndi,
                len(self._statev),
                len(self.props),
                _pointer(self.props.copy()),
                self._name,
                ctypes.c_double(dt),
                *(_pointer(array) for array in (stress, statev, moduli, energy, before, step, time)),
                count.ctypes.data_as(ctypes.c_void_p),
                _pointer(factor),
                ctypes.byref(reached),
            )
        if code:
            p = reached.value
            strain = ", ".join(f"{value:.4g}" for value in before[p] + step[p])
            raise UMATCrash(crash_sentence(library.path, code, f"at point {p} of a block, STRAN + DSTRAN = ({strain})"))


_ONE_AT_A_TIME = threading.Lock()


def _pointer(array: Array) -> ctypes.c_void_p:
    """Return the address of a contiguous array."""
    return array.ctypes.data_as(ctypes.c_void_p)
