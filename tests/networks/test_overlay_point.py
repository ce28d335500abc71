"""The compiled step of the physically recurrent network is the step of the network, tangent and state included."""

import pytest
import torch

from pointlaw.networks import PhysicallyRecurrent, script
from pointlaw.networks.base import native

pytestmark = pytest.mark.skipif(not native("overlay_point"), reason="there is no C compiler")


def walk(network, rows, kernels, steps=6):
    """Lead all kernels along the same random strains; yield their answers ``(stress, state, tangent)`` of each step."""
    rng = torch.Generator().manual_seed(2)
    m, x, state = network.features, torch.zeros(rows, network.features).double(), network.initial_state(rows)
    for _ in range(steps):
        x = x + 0.4 * torch.randn(rows, m, generator=rng).double()
        ones, answers = torch.nn.functional.pad(x, (0, 1), value=1.0), []
        for kernel in kernels:
            shapes = ((rows, m), (rows, network.state_size), (rows, m * m))
            stress, new, tangent = (torch.full(shape, float("nan"), dtype=torch.float64) for shape in shapes)
            with torch.no_grad():
                kernel(ones, state, stress, new, tangent)
            answers.append((stress, new, tangent))
        state = answers[0][1]
        yield answers


# Elements that fill no whole vector, one alone, and sizes that the source does not name.
@pytest.mark.parametrize(("m", "elements", "size"), [(3, 32, 3), (6, 12, 6), (3, 5, 2), (4, 9, 7), (1, 1, 1)])
def test_the_compiled_step_is_the_scripted_step(m, elements, size):
    network = PhysicallyRecurrent(features=m, outputs=m, elements=elements, size=size, seed=0).double()
    A, S = torch.randn(2, m, m, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    compiled, plain = network.kernel(A, S, 64).eval(), script(network.kernel(A, S, 64).eval())
    assert compiled.compiled
    for mine, other in walk(network, 40, (compiled, plain)):
        for a, b in zip(mine, other, strict=True):
            assert (a - b).abs().max() <= 3e-12 * b.abs().max()
    assert mine[1][:, -elements:].max() > 0.0  # something has yielded


def test_a_point_does_not_see_its_neighbours():
    network = PhysicallyRecurrent(features=3, outputs=3, elements=10, seed=0).double()
    kernel = network.kernel(torch.eye(3).double(), torch.eye(3).double(), 64).eval()
    state = next(iter(walk(network, 7, [kernel], steps=1)))[0][1]
    x = torch.nn.functional.pad(1.5 * state[:, :3], (0, 1), value=1.0)

    def ask(rows):
        out = [torch.empty(len(rows), n, dtype=torch.float64) for n in (3, network.state_size, 9)]
        with torch.no_grad():
            kernel(x[rows], state[rows], *out)
        return torch.cat(out, 1)

    together = ask(list(range(7)))
    assert torch.equal(together, torch.cat([ask([k]) for k in range(7)]))


def test_a_point_that_is_not_finite_answers_what_is_not_finite():
    network = PhysicallyRecurrent(features=3, outputs=3, elements=10, seed=0).double()
    kernel = network.kernel(torch.eye(3).double(), torch.eye(3).double(), 64).eval()
    x = torch.tensor([[0.1, 0.2, 0.3, 1.0], [float("nan"), 0.2, 0.3, 1.0]], dtype=torch.float64)
    stress, new, tangent = (torch.zeros(2, n, dtype=torch.float64) for n in (3, network.state_size, 9))
    with torch.no_grad():
        kernel(x, network.initial_state(2), stress, new, tangent)
    assert torch.isfinite(stress[0]).all()
    assert not torch.isfinite(stress[1]).any()
