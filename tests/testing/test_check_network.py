"""The check of networks lies beside that of laws, and costs torch only those who ask for it."""

import subprocess
import sys

import pytest

import pointlaw.testing


def test_torch_is_imported_only_when_the_check_of_networks_is_asked_for() -> None:
    script = "import sys, pointlaw.testing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    from pointlaw.testing import check_network

    assert "torch" in sys.modules
    assert check_network is sys.modules["pointlaw.testing.network"].check_network


def test_a_check_that_does_not_exist_is_named() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'check_networks'"):
        _ = pointlaw.testing.check_networks
