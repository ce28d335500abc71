"""``pointlaw train``: from a dataset to a law file, with a bar that shows loss and time left; resumes after a kill."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointlaw.cli.show import rows

if TYPE_CHECKING:
    from pointlaw.training import Epoch, TrialRow


def train_command(
    config: Annotated[Path, typer.Argument(help="A TOML file; docs/command_line.md shows one.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a network on a dataset, measure it on paths it never saw, and write a law file.

    A run that was killed is started again with the same command and goes on from its last checkpoint.
    """
    from rich.console import Console
    from rich.table import Table

    from pointlaw.training.train_file import read_train_file, train_law

    file = read_train_file(config)
    shown = not quiet and file.architecture != "gaussian_process"
    with TrainBar(file.train.epochs, file.search.trials if file.search else None, shown=shown) as bar:
        trained = train_law(file, config.parent, on_epoch=bar.epoch, on_trial=bar.trial)
    console = Console()
    if trained.table:
        console.print(trial_table(trained.table))
    table = Table(title=f"{trained.law.card.name} ({trained.path})", show_header=False)
    for name, value in rows(trained.law.card):
        table.add_row(name, value)
    console.print(table)
    print(f"Training ended: {trained.stopped}.")


def trial_table(trials: "list[TrialRow]") -> Any:
    """Return the trials of a search as a table, the best first."""
    from rich.table import Table

    table = Table(title="search")
    for column in ("trial", "validation", "epochs", "outcome", "values"):
        table.add_column(column)
    for row in sorted(trials, key=lambda row: (row.outcome != "complete", row.error)):
        short = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in row.values.items()}
        values = ", ".join(f"{key} = {value}" for key, value in short.items())
        table.add_row(str(row.number), f"{100 * row.error:.2f} %", str(row.epochs), row.outcome, values)
    return table


class TrainBar:
    """A context manager: a bar over the epochs, or over the trials of a search, with the losses and the time left."""

    def __init__(self, epochs: int, trials: int | None, *, shown: bool):
        self.total, self.what, self.shown = trials or epochs, "search" if trials else "train", shown
        self.best = float("inf")

    def __enter__(self) -> "TrainBar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self.shown,
        )
        self._task = self._bar.add_task(self.what, total=self.total, note="")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, epoch: "Epoch") -> None:
        """Move the bar to the end of ``epoch``."""
        self.best = min(self.best, epoch.validation)
        note = f"training {epoch.training:.3g}, validation {100 * epoch.validation:.2f} %, best {100 * self.best:.2f} %"
        self._bar.update(self._task, completed=epoch.number + 1, note=note)

    def trial(self, row: "TrialRow") -> None:
        """Move the bar to the end of a trial."""
        self.best = min(self.best, row.error)
        note = f"validation {100 * row.error:.2f} %, best {100 * self.best:.2f} %"
        self._bar.update(self._task, completed=row.number + 1, note=note)
