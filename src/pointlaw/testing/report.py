"""The report of a contract check: a table of named verdicts that a test can raise from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """One checked property: its name, whether it holds, and what was seen.

    ``required`` is false for properties that are reported but do not fail the check.
    """

    name: str
    ok: bool
    detail: str
    required: bool = True


@dataclass
class CheckReport:
    """Everything that was checked of one thing; ``str(report)`` is a table."""

    subject: str
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every required property holds."""
        return not self.failures

    @property
    def failures(self) -> list[Verdict]:
        """The required properties that do not hold."""
        return [verdict for verdict in self.verdicts if verdict.required and not verdict.ok]

    def __getitem__(self, name: str) -> Verdict:
        """Return the verdict of this name; ``KeyError`` lists the names there are."""
        for verdict in self.verdicts:
            if verdict.name == name:
                return verdict
        raise KeyError(f"no property '{name}'; checked were {[verdict.name for verdict in self.verdicts]}")

    def __str__(self) -> str:
        width = max((len(verdict.name) for verdict in self.verdicts), default=0)
        lines = [f"{self.subject}: {'ok' if self.ok else 'FAILED'}"]
        for verdict in self.verdicts:
            mark = "ok  " if verdict.ok else ("FAIL" if verdict.required else "note")
            lines.append(f"  {mark}  {verdict.name:<{width}}  {verdict.detail}")
        return "\n".join(lines)

    def add(self, name: str, ok: bool, detail: str, *, required: bool = True) -> None:
        """Add a verdict."""
        self.verdicts.append(Verdict(name, bool(ok), detail, required))

    @contextmanager
    def guard(self, name: str) -> Iterator[None]:
        """Turn an exception or a warning-made-error in the body into a failed verdict, so that the rest is checked."""
        try:
            yield
        except Exception as error:
            self.add(name, False, f"raised {type(error).__name__}: {error}")

    def raise_if_failed(self) -> "CheckReport":
        """Return the report, or raise ``AssertionError`` with the table when a required property fails."""
        if not self.ok:
            raise AssertionError(str(self))
        return self
