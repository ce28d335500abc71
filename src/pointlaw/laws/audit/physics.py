"""What thermodynamics, geometry and Newton's method ask of a law, measured without any teacher.

A closed strain cycle that starts from the virgin solid must not give work back; a rotation of the body must rotate
its stress and nothing else; a tangent must be the derivative of the stress, and a stable solid has a positive one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pointlaw.data import Dataset, feature_map, respond
from pointlaw.laws.audit.accuracy import FLOOR, mean_step, norm, ratio, single_precision
from pointlaw.laws.learned import LearnedMaterial
from pointlaw.laws.replay import replay
from pointlaw.materials import Material
from pointlaw.networks import Network
from pointlaw.tensors import Array

RADII = (0.1, 0.4, 1.0)  # of the cycles, as shares of the strains in the data
PLANES = 12
DIRECTIONS = 200  # in which the acoustic tensor is looked at
SMALLEST_CYCLE, LARGEST_CYCLE = 32, 240  # steps


def cycle_work(material: Material, dataset: Dataset, *, seed: int = 0, paths: int = 20) -> Array:
    """Return the work of closed strain cycles over the work put in, ``[cycles]``.

    ``∮ σ·dε / ∮ max(σ·dε, 0)`` is 0 for an elastic law, positive for one that dissipates, and negative for one that
    gives more than it took. The cycles start and end at the undeformed body: ellipses in random planes of strain
    space, round both ways and in three sizes, and the first ``paths`` paths of the data there and back. From the
    virgin state the second law asks for a value ≥ 0, since nothing is stored there that could be taken out. The
    integral is the trapezoidal rule, which is exact for linear elasticity and for paths that are retraced, and
    converges faster than any power of the step on smooth closed curves (doi 10.1137/130932132).
    """
    dt = mean_step(dataset)
    shares = []
    for strain in (ellipses(dataset, seed=seed), there_and_back(dataset.strain[:paths])):
        time = dt * np.arange(float(strain.shape[1]))
        stress = respond(material, time, strain).stress
        work = np.sum(0.5 * (stress[:, 1:] + stress[:, :-1]) * np.diff(strain, axis=1), axis=2)
        shares.append(ratio(work.sum(axis=1), np.maximum(work, 0.0).sum(axis=1), FLOOR**2))  # works go by the square
    return np.concatenate(shares)


def ellipses(dataset: Dataset, *, seed: int = 0) -> Array:
    """Return strain cycles ``[2 · planes · radii, t, m]`` through the undeformed body, inside the strains of the data.

    A component that the data lead to one side only is led to at most a tenth of that.
    """
    reference = dataset.kinematics.reference
    lower = np.abs(dataset.strain.min(axis=(0, 1)) - reference)
    upper = np.abs(dataset.strain.max(axis=(0, 1)) - reference)
    width = np.maximum(np.minimum(lower, upper), 0.1 * np.maximum(lower, upper))
    m = len(reference)
    increments = norm(np.diff(dataset.strain, axis=1), 1)
    step = float(np.median(increments[increments > 0])) if increments.any() else 1.0
    steps = int(np.clip(np.pi * np.linalg.norm(width) / step, SMALLEST_CYCLE, LARGEST_CYCLE))
    angle = 2.0 * np.pi * np.arange(steps + 1) / steps
    rng = np.random.default_rng(seed)
    cycles = []
    for _ in range(PLANES):
        plane = np.linalg.qr(rng.standard_normal((max(m, 2), 2)))[0][:m]
        if m == 1:
            plane = np.array([[1.0, 0.0]])  # the one component there is: out and back
        once = 0.5 * width * ((1.0 - np.cos(angle))[:, None] * plane[:, 0] + np.sin(angle)[:, None] * plane[:, 1])
        cycles += [reference + radius * sense for radius in RADII for sense in (once, once[::-1])]
    closed = np.array(cycles)
    closed[:, [0, -1]] = reference  # to the last bit
    return closed


def there_and_back(strain: Array) -> Array:
    """Return the paths ``[n, 2t − 1, m]`` that go along ``strain[n, t, m]`` and back the same way."""
    return np.concatenate([strain, strain[:, -2::-1]], axis=1)


def rotation_error(material: Material, dataset: Dataset, *, seed: int = 0, paths: int = 20) -> float | None:
    """Return the largest ‖P(QF) − Q P(F)‖ / ‖P(F)‖ of ``paths`` paths; ``None`` at small strain, where nothing rotates.

    The rotation grows along the path to 90° about a random axis, so a law with memory must carry it along as well.
    """
    if not dataset.kinematics.finite:
        return None
    few = dataset.subset(slice(paths))
    n, t, m = few.strain.shape
    d = round(m**0.5)
    Q = _rotations(n, t, d, np.random.default_rng(seed))
    stress = respond(material, few.time, few.strain).stress.reshape(n, t, d, d)
    turned = respond(material, few.time, (Q @ few.strain.reshape(n, t, d, d)).reshape(n, t, m)).stress
    return float(np.max(ratio(norm(turned - (Q @ stress).reshape(n, t, m), 2), norm(stress, 3), FLOOR)))


def _rotations(n: int, t: int, d: int, rng: np.random.Generator) -> Array:
    """Return rotations ``[n, t, d, d]`` from none to 90° (Rodrigues' formula), each path about an axis of its own."""
    angle = np.linspace(0.0, 0.5 * np.pi, t)[None, :, None, None] * rng.choice([-1.0, 1.0], (n, 1, 1, 1))
    axis = rng.standard_normal((n, 3)) if d == 3 else np.tile([0.0, 0.0, 1.0], (n, 1))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    K = np.cross(np.eye(3)[None], axis[:, None, :])[:, None]  # rows e_i × a: K v = a × v
    full = np.eye(3) + np.sin(angle) * K + (1.0 - np.cos(angle)) * (K @ K)
    return full[..., :d, :d]


def tangent_differences(material: Material, dataset: Dataset, *, points: int = 20) -> Array:
    """Return ‖C − C_h‖ / ‖C‖, ``[points]``, of the tangent from central differences after half of each path."""
    few = dataset.subset(slice(points))
    half = (few.times - 1) // 2  # the state after half the path, then the next step
    state = material.initial_state(few.paths)
    if half:
        state = respond(material, few.time[:, : half + 1], few.strain[:, : half + 1]).state
    dt, strain = mean_step(few), few.strain[:, half + 1]
    tangent = material.update(strain, state, dt).tangent
    if tangent is None:
        return np.full(few.paths, np.nan)
    differences = np.empty_like(tangent)
    relative = 1e-2 if single_precision(material) else 1e-5
    step = relative * float(np.abs(strain - few.kinematics.reference).max() or 1.0)
    for m in range(strain.shape[1]):
        shift = np.zeros(strain.shape[1])
        shift[m] = step
        plus = material.update(strain + shift, state, dt, tangent=False).stress
        minus = material.update(strain - shift, state, dt, tangent=False).stress
        differences[:, :, m] = (plus - minus) / (2 * step)
    return ratio(norm(tangent - differences, 2), norm(tangent, 2))


def softness(tangent: Array | None) -> Array:
    """Return the smallest eigenvalue of the symmetric tangent over its largest, ``[points]``, of all finite points."""
    if tangent is None:
        return np.empty(0)
    symmetric = (0.5 * (tangent + np.swapaxes(tangent, -1, -2))).reshape(-1, *tangent.shape[-2:])
    symmetric = symmetric[np.isfinite(symmetric).all(axis=(-1, -2))]
    values = np.linalg.eigvalsh(symmetric)
    return ratio(values[:, 0], np.abs(values).max(axis=-1)) if len(values) else np.empty(0)


def ellipticity(tangent: Array | None) -> Array:
    """Return the smallest eigenvalue of the acoustic tensor over the largest, ``[points]``, of all finite points.

    The acoustic tensor ``A_ik = n_J ∂P_iJ/∂F_kL n_L`` of a direction ``n`` is positive for all of them where the law is
    elliptic: there waves travel, and no localisation is possible (Hadamard's condition). Its eigenvalues are taken in
    ``DIRECTIONS`` of them. ``tangent[..., m, m]`` is that of ``F → P``; empty unless ``m`` is 9 or 4.
    """
    if tangent is None or tangent.shape[-1] not in (4, 9):
        return np.empty(0)
    d = round(tangent.shape[-1] ** 0.5)
    moduli = tangent.reshape(-1, d, d, d, d)
    moduli = moduli[np.isfinite(moduli).all(axis=(1, 2, 3, 4))]
    directions = _half_sphere(DIRECTIONS) if d == 3 else _half_circle(DIRECTIONS)
    answer = np.empty(len(moduli))
    for first in range(0, len(moduli), 256):
        part = np.einsum("piJkL,nJ,nL->pnik", moduli[first : first + 256], directions, directions, optimize=True)
        values = np.linalg.eigvalsh(0.5 * (part + np.swapaxes(part, -1, -2)))
        answer[first : first + 256] = ratio(values[..., 0].min(axis=1), np.abs(values).max(axis=(1, 2)))
    return answer


def _half_circle(count: int) -> Array:
    """Return unit vectors ``[count, 2]`` over half a circle."""
    angle = np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _half_sphere(count: int) -> Array:
    """Return unit vectors ``[count, 3]`` spread evenly over half a sphere, along a spiral of the golden angle."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (3.0 - 5.0**0.5) * np.arange(count)
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def least_dissipation(material: Material, dataset: Dataset, *, paths: int = 20) -> float | None:
    """Return the smallest dissipation of a step over the largest stored energy of its path, the worst of ``paths``.

    The dissipation of a step is the work done less what was stored, ``½ (σ_k + σ_k−1)·Δε − Δψ``. ``None`` for laws
    that do not know their energy (:func:`energy_of`).
    """
    energy = energy_of(material)
    if energy is None:
        return None
    few = dataset.subset(slice(paths))
    stress = respond(material, few.time, few.strain).stress
    stored = [energy(few.strain[:, 0], few.strain[:, 0], mean_step(few), material.initial_state(few.paths))]
    for k, (_, state) in enumerate(replay(material, few.time, few.strain), start=1):
        stored.append(energy(few.strain[:, k], few.strain[:, k - 1], mean_step(few), state))
    psi = np.stack(stored, axis=1) - stored[0][:, None]
    work = np.sum(0.5 * (stress[:, 1:] + stress[:, :-1]) * np.diff(few.strain, axis=1), axis=2)
    return float(np.min(ratio((work - np.diff(psi, axis=1)).min(axis=1), np.abs(psi).max(axis=1), FLOOR**2)))


Energy = Callable[[Array, Array, float, Array], Array]


def energy_of(material: Material) -> Energy | None:
    """Return ``(strain[p, m], old strain, dt, new state[p, s]) -> stored energy [p]``; ``None`` if there is none.

    A material that knows its energy has a method ``stored_energy(strain, state)``; of a learned law the network may
    have a memory and ``energy(x, state)``, in units of the stress scale, with physical scaling.
    """
    own: Callable[[Array, Array], Array] | None = getattr(material, "stored_energy", None)
    if own is not None:
        return lambda strain, old, dt, state: own(strain, state)
    network: Any = getattr(material, "network", None)
    if not isinstance(material, LearnedMaterial) or not isinstance(network, Network) or not hasattr(network, "energy"):
        return None
    if network.state_size == 0:
        return None  # nothing can be dissipated; closed cycles say whether it is so
    potential: Callable[..., torch.Tensor] = getattr(network, "energy")  # noqa: B009 - not every network has it
    features, scale = feature_map(material.card.features, material.card.scaling), material.card.scaling.stress[0]
    dtype = next(network.parameters()).dtype

    def stored(strain: Array, old: Array, dt: float, state: Array) -> Array:
        x = features.apply(strain, old, np.full(len(strain), dt))
        given = [torch.as_tensor(array, dtype=dtype) for array in (x, state[:, : network.state_size])]
        with torch.no_grad():
            psi: Array = potential(*given).double().numpy()
        return scale * psi

    return stored
