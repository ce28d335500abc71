"""Draw a training: losses over the epochs on one page. Needs matplotlib (extra ``plot``)."""

from pathlib import Path

from pointlaw.data import replacing
from pointlaw.errors import EnvironmentProblem
from pointlaw.training.fit import FitReport


def draw_history(report: FitReport, path: str | Path) -> None:
    """Write the training curves of ``report`` to the picture ``path``; its suffix decides about the format.

    Raises ``EnvironmentProblem`` without matplotlib.
    """
    try:
        from matplotlib.figure import Figure  # no pyplot: no window, no global state
    except ImportError as error:
        raise EnvironmentProblem("Drawing a report needs matplotlib; try: pip install pointlaw[plot]") from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    numbers = [epoch.number for epoch in report.history]
    axes.semilogy(numbers, [epoch.training for epoch in report.history], label="training objective", color="0.6")
    axes.semilogy(numbers, [epoch.validation for epoch in report.history], label="validation, mean ‖σ−σ̂‖/‖σ‖")
    axes.plot(report.best.number, report.best.validation, "o", label=f"kept: {100 * report.best.validation:.2f} %")
    axes.set(xlabel="epoch", ylabel="relative error", title=f"{type(report.network).__name__}, {report.stopped}")
    axes.grid(which="both", alpha=0.2)
    axes.legend()
    path = Path(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
