"""The figures of a law as a table in the terminal: measured, on the card, and what they should be."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointlaw.laws import Audit, LawCard

LIGHTS = {"good": ("●", "green"), "fair": ("▲", "yellow"), "bad": ("■", "red"), "not measured": ("–", "bright_black")}


def print_figures(audit: "Audit", card: "LawCard | None", name: str) -> None:
    """Print each figure with a light: circle good, triangle fair, square bad, dash not measured."""
    from rich.console import Console
    from rich.table import Table

    from pointlaw.laws import judge
    from pointlaw.laws.audit import stands

    measured, before = judge(audit.figures), None if card is None else judge(card.figures)
    where = f"{audit.dataset.paths} paths of {audit.dataset.times - 1} steps"
    where += f" of '{audit.dataset.card.teacher}'" if audit.taught else " inside the envelope, without a teacher"
    table = Table(title=f"{card.name if card else name}\n{where}", title_justify="left")
    table.add_column("")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    if before is not None:
        table.add_column("card", justify="right")
    table.add_column("goal", justify="right")
    advice: dict[str, str] = {}
    for k, (line, verdict) in enumerate(zip(measured, stands(measured, before), strict=True)):
        shape, colour = LIGHTS[verdict]
        entries = [line] if before is None else [line, before[k]]
        values = [entry.shown if entry.value is not None else "–" for entry in entries]
        table.add_row(f"[{colour}]{shape}[/]", line.goal.label, *values, line.goal.wanted)
        if verdict == "bad":
            advice.setdefault(line.goal.advice, line.goal.label)
    console = Console()
    console.print(table)
    for what, label in advice.items():
        console.print(f"[red]■[/] {label}: {what}.", highlight=False)
    if card is not None:
        print_origin(card)


def print_origin(card: "LawCard") -> None:
    """Print where the law comes from and what its training covered."""
    from rich.console import Console
    from rich.table import Table

    from pointlaw.laws.summary import covered, origin

    table = Table(show_header=False)
    for row in (*origin(card), *covered(card)):
        table.add_row(*row)
    Console().print(table)
