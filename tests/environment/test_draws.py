"""What a test draws depends on the test alone, so that no order and no choice of tests brings luck into it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("turn", range(2))
def test_the_generator_of_a_test_file_starts_anew_with_every_test(turn):
    assert RNG.random() == np.random.default_rng(5).random()


@pytest.mark.parametrize("turn", range(2))
def test_the_generator_of_torch_starts_anew_with_every_test(turn):
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(0))
