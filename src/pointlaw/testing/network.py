"""The contract of a network as a test: ``check_network(network).raise_if_failed()``.

Training scans whole paths, a law takes single steps, compiled, from a file, with a folded tangent: all of these must
be one and the same function. Each of them is compared with the plain steps of the module.
"""

import math
from collections.abc import Callable

import safetensors.torch
import torch
from torch import Tensor

from pointlaw.networks import Network, autodiff_tangent, script
from pointlaw.testing.report import CheckReport


def check_network(
    network: Network,
    *,
    rows: int = 7,
    steps: int = 5,
    amplitude: float = 1.0,
    seed: int = 0,
    tolerance: float = 1e-11,
) -> CheckReport:
    """Check that ``network`` keeps the contract of :class:`~pointlaw.networks.Network`.

    Parameters
    ----------
    network : Network
        Fresh or trained; a copy in float64 is checked, its linear prior filled with random numbers if it is zero.
    rows, steps : int
        Size of the batch and length of the random sequences.
    amplitude : float
        Size of the random features; about 0.1 for a network of ``F − I``, which must not be turned inside out.
    seed : int
        Of the random features and states.
    tolerance : float
        How well answers must agree that should be the same, relative to the largest.

    Returns
    -------
    CheckReport
        ``str()`` is a table, ``ok`` the verdict, ``raise_if_failed()`` for a test.
    """
    rng = torch.Generator().manual_seed(seed)
    report = CheckReport(f"{type(network).__name__} ({network.features} features, {network.outputs} answers)")
    copy = _copy(network, rng)
    x = amplitude * torch.randn(rows, steps, network.features, generator=rng, dtype=torch.float64)
    state = copy.initial_state(rows)
    for k in range(steps):  # a state that the network can reach
        _, state = copy.step(torch.roll(x[:, k], 1, 0), state)
    state = state.detach()

    def same(name: str, first: Tensor, second: Tensor, allowed: float = tolerance) -> None:
        first, second = first.detach(), second.detach()
        scale = float(second.abs().max()) if second.numel() else 1.0
        gap = float((first - second).abs().max()) if second.numel() else 0.0
        report.add(name, first.shape == second.shape and gap <= allowed * max(scale, 1e-300), f"differ by {gap:.1e}")

    checks: dict[str, Callable[[], None]] = {
        "config": lambda: same("config", _again(copy).scan(x), copy.scan(x), 0.0),
        "shapes": lambda: _shapes(report, copy, x[:, 0], state),
        "purity": lambda: _purity(report, copy, x[:, 0], state),
        "scan equals steps": lambda: same("scan equals steps", copy.scan(x), _steps(copy, x)),
        "row independence": lambda: same("row independence", _one_by_one(copy, x[:, 0], state), _row(copy, x, state)),
        "scripted equals eager": lambda: same("scripted equals eager", _scripted(copy, x), copy.scan(x)),
        "save and load": lambda: same("save and load", _reloaded(copy).scan(x), copy.scan(x), 0.0),
        "tangent": lambda: same("tangent", copy.step_tangent(x[:, 0], state)[2], _slow(copy, x[:, 0], state)),
        "tangents of a scan": lambda: same("tangents of a scan", _scan_slopes(copy, x), _slow_scan(copy, x)),
        "tangent by differences": lambda: _differences(report, copy, x[:, 0], state),
        "kernel": lambda: _kernel(report, same, copy, x, state, rng),
    }
    for name, check in checks.items():
        with report.guard(name):
            check()
    return report


def _copy(network: Network, rng: torch.Generator) -> Network:
    copy = _again(network)
    prior = getattr(getattr(copy, "head", None), "prior", None)
    if prior is not None and not prior.detach().any():
        with torch.no_grad():
            prior.copy_(torch.randn(prior.shape, generator=rng, dtype=torch.float64))
    return copy


def _again(network: Network) -> Network:
    """Build the network from its configuration and give it the same weights, in float64."""
    fresh = type(network)(**network.config).double().eval()
    fresh.load_state_dict(network.state_dict())
    return fresh


def _reloaded(network: Network) -> Network:
    content = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    fresh = type(network)(**network.config).double().eval()
    fresh.load_state_dict(safetensors.torch.load(content))
    return fresh


def _steps(network: Network, x: Tensor) -> Tensor:
    state, answers = network.initial_state(len(x)), []
    for k in range(x.shape[1]):
        y, state = network.step(x[:, k], state)
        answers.append(y)
    return torch.stack(answers, 1)


def _scripted(network: Network, x: Tensor) -> Tensor:
    scripted = script(network)
    for _ in range(3):  # the executor optimises after the first calls
        scripted.scan(x)
    return scripted.scan(x)


def _row(network: Network, x: Tensor, state: Tensor) -> Tensor:
    return torch.cat(network.step(x[:, 0], state), 1)


def _one_by_one(network: Network, x: Tensor, state: Tensor) -> Tensor:
    parts = [torch.cat(network.step(x[r : r + 1], state[r : r + 1]), 1) for r in range(len(x))]
    return torch.cat(parts)


def _slow(network: Network, x: Tensor, state: Tensor) -> Tensor:
    return autodiff_tangent(network, x, state)[2]


def _scan_slopes(network: Network, x: Tensor) -> Tensor:
    """Return the slopes of a scan, the last step asked for by itself."""
    some = network.scan_tangent(x, torch.tensor([x.shape[1] - 1]))[1]
    return torch.cat([network.scan_tangent(x)[1][:, :-1], some], 1)


def _slow_scan(network: Network, x: Tensor) -> Tensor:
    state, slopes = network.initial_state(len(x)), []
    for k in range(x.shape[1]):
        _, state, slope = autodiff_tangent(network, x[:, k], state)
        slopes.append(slope)
    return torch.stack(slopes, 1)


def _shapes(report: CheckReport, network: Network, x: Tensor, state: Tensor) -> None:
    y, new = network.step(x, state)
    empty, _ = network.step(x[:0], state[:0])
    wanted = (len(x), network.outputs), (len(x), network.state_size), (0, network.outputs)
    found = tuple(y.shape), tuple(new.shape), tuple(empty.shape)
    sizes = sum(network.state_sizes.values()) == network.state_size == network.initial_state(1).shape[1]
    report.add("shapes", wanted == found and sizes, f"y {found[0]}, state {found[1]}, no rows {found[2]}")


def _purity(report: CheckReport, network: Network, x: Tensor, state: Tensor) -> None:
    before = x.clone(), state.clone()
    first, second = torch.cat(network.step(x, state), 1), torch.cat(network.step(x, state), 1)
    untouched = torch.equal(before[0], x) and torch.equal(before[1], state)
    report.add("purity", untouched and torch.equal(first, second), "asked twice, inputs compared")


def _differences(report: CheckReport, network: Network, x: Tensor, state: Tensor) -> None:
    """Compare the tangent with central differences of the step: no derivative rule is trusted."""
    step = 1e-6
    tangent = network.step_tangent(x, state)[2].detach()
    columns = []
    for k in range(x.shape[1]):
        shift = torch.zeros_like(x)
        shift[:, k] = step
        columns.append((network.step(x + shift, state)[0] - network.step(x - shift, state)[0]).detach() / (2 * step))
    gap = float((torch.stack(columns, 2) - tangent).abs().max() / tangent.abs().max())
    report.add("tangent by differences", gap < 1e-7, f"differ by {gap:.1e}")


def _kernel(
    report: CheckReport, same: Callable[..., None], network: Network, x: Tensor, state: Tensor, rng: torch.Generator
) -> None:
    """Compare the folded kernel, scripted, with the plain step, with and without tangent, in an incomplete block."""
    m = network.outputs
    A = torch.randn(network.features, m, generator=rng, dtype=torch.float64)
    S = torch.randn(m, m, generator=rng, dtype=torch.float64)
    kernel = network.kernel(A, S, block=len(x) + 3)
    if kernel is None:
        report.add("kernel", True, "none: automatic differentiation serves this network", required=False)
        return
    scripted = script(kernel.eval())
    y, new_state, slope = autodiff_tangent(network, x[:, 0], state)
    stress, new = torch.full((len(x), m), math.nan, dtype=torch.float64), torch.full_like(state, math.nan)
    tangent = torch.full((len(x), m * m), math.nan, dtype=torch.float64)
    ones = torch.nn.functional.pad(x[:, 0], (0, 1), value=1.0)
    with torch.no_grad():
        for wanted in (tangent, None, tangent):
            scripted(ones, state, stress, new, wanted)
    same("kernel: answer", stress, y @ S.T)
    same("kernel: state", new, new_state)
    same("kernel: tangent", tangent.view(len(x), m, m), S @ slope @ A)
