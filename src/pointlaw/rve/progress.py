"""The bar that a sampling run shows on rank 0: paths, rate, time left, failures."""

from pointlaw.rve.farm import Progress


class SampleBar:
    """A context manager whose :meth:`watch` is given to :func:`~pointlaw.rve.sample.sample`."""

    def __init__(self, total: int, *, description: str = "sample"):
        self.total, self.description = total, description

    def __enter__(self) -> "SampleBar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(self.description, total=self.total, note="")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def watch(self, progress: Progress, missing: int) -> None:
        """Move the bar; ``missing`` paths were to be done when the run began."""
        before = self.total - missing
        task = self._bar.tasks[self._task]
        speed = progress.finished / task.elapsed if task.elapsed else 0.0
        note = f"{speed:.3g} paths/s" + (f", {progress.failed} failed" if progress.failed else "")
        self._bar.update(self._task, completed=before + progress.finished, note=note)
