"""The contracts of this package as checks that users run on their own laws."""

from typing import TYPE_CHECKING

from pointlaw.testing.material import check_material
from pointlaw.testing.report import CheckReport, Verdict
from pointlaw.testing.taylor import taylor_order

if TYPE_CHECKING:
    from pointlaw.testing.network import check_network

__all__ = ["CheckReport", "Verdict", "check_material", "check_network", "taylor_order"]


def __getattr__(name: str) -> object:
    """Import the check of networks when it is asked for: nothing else here needs torch."""
    if name == "check_network":
        from pointlaw.testing.network import check_network

        return check_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
