"""The contracts of this package as checks that users run on their own laws."""

from pointlaw.testing.material import check_material
from pointlaw.testing.report import CheckReport, Verdict
from pointlaw.testing.taylor import taylor_order

__all__ = ["CheckReport", "Verdict", "check_material", "taylor_order"]
