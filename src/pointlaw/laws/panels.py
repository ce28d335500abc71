"""The pictures of an audit, one function a panel: each draws into matplotlib axes that it is given.

Colours have one meaning on the whole page: dark grey is the teacher, blue the law, orange the law under stress control;
green, amber and red are verdicts and are always joined by a shape, for readers who do not see these colours.
"""

import itertools
from typing import Any

import numpy as np

from pointlaw.laws.audit.goals import GOALS, Judgement, Verdict, stands
from pointlaw.laws.audit.measure import NEGATIVE, Audit
from pointlaw.laws.card import LawCard
from pointlaw.laws.explain import Explanation
from pointlaw.tensors import Array

LAW, TEACHER, OTHER, FAINT = "#2a5d8f", "#333333", "#d9772b", "#c9ced6"
LIGHTS = {
    Verdict.GOOD: ("#2f8f5b", "o"),
    Verdict.FAIR: ("#e0a100", "^"),
    Verdict.BAD: ("#c23b33", "s"),
    Verdict.UNKNOWN: ("#b9bec6", "_"),
}
FLOOR = 1e-17  # where zero is drawn on a logarithmic axis
_GOAL = {goal.figure: goal for goal in GOALS}
Axes = Any


def head(axes: Axes, name: str, lines: list[str]) -> None:
    """Write the name of the law and what it is."""
    axes.set_axis_off()
    axes.text(0.0, 1.0, name, va="top", fontsize=19, weight="bold", transform=axes.transAxes)
    axes.text(0.0, 0.70, "\n".join(lines), va="top", fontsize=8.5, color="#444c56", linespacing=1.45,
              transform=axes.transAxes)  # fmt: skip


def table(axes: Axes, judged: list[Judgement], before: list[Judgement] | None = None) -> None:
    """Draw the figures with their lights: label, value, goal, and what the card says if that is given."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(judged) + 1.4, -1.0))
    columns: tuple[tuple[float, str, str], ...] = (
        (0.06, "figure", "left"),
        (0.70, "measured", "right"),
        (0.98, "goal", "right"),
    )
    if before is not None:
        columns = (*columns[:1], (0.63, "measured", "right"), (0.81, "card", "right"), columns[2])
    for x, name, align in columns:
        axes.text(x, -0.6, name, ha=align, va="center", color="#5b6470", fontsize=8, style="italic")
    axes.axhline(-0.15, color="#5b6470", lw=0.8)
    for row, (line, verdict) in enumerate(zip(judged, stands(judged, before), strict=True)):
        colour, marker = LIGHTS[verdict]
        axes.scatter([0.02], [row + 0.5], color=colour, marker=marker, s=46, linewidths=1.6)
        ink = "#9aa1ab" if verdict is Verdict.UNKNOWN else "black"
        shown = "–" if line.value is None else line.shown
        entries = [(columns[0][0], line.goal.label, "left"), (columns[1][0], shown, "right")]
        if before is not None:
            entries.append((0.81, "–" if before[row].value is None else before[row].shown, "right"))
        entries.append((0.98, line.goal.wanted, "right"))
        for x, text, align in entries:
            faint = x > 0.75
            axes.text(x, row + 0.5, text, ha=align, va="center", fontsize=8.2, color="#5b6470" if faint else ink)
        axes.axhline(row + 1, color="#e8eaee", lw=0.6)
    for place, (verdict, (colour, marker)) in enumerate(LIGHTS.items()):
        axes.scatter([0.02 + 0.2 * place], [len(judged) + 0.9], color=colour, marker=marker, s=30, linewidths=1.4)
        axes.text(0.05 + 0.2 * place, len(judged) + 0.9, str(verdict), va="center", fontsize=7.5, color="#5b6470")


def curves(axes: Axes, audit: Audit, path: int, title: str, unit: str) -> None:
    """Draw stress against strain along one path, in the component that carries most stress."""
    data = audit.dataset
    component = int(np.argmax(np.square(data.stress[path]).sum(axis=0)))
    label = data.kinematics.components[component]
    percent = 100 if not data.kinematics.finite else 1
    strain = percent * data.strain[path, :, component]
    if audit.taught:
        axes.plot(strain, data.stress[path, :, component], color=TEACHER, lw=2.4, alpha=0.55, label="teacher")
    axes.plot(strain, audit.answers.stress[path, :, component], color=LAW, lw=1.2, label="law")
    axes.plot(strain[:1], audit.answers.stress[path, :1, component], ".", color=LAW)
    measure, stress = ("F", "P") if data.kinematics.finite else ("ε", "σ")
    axes.set(xlabel=f"{measure} {label}{'' if data.kinematics.finite else ' / %'}", ylabel=f"{stress} {label} / {unit}")
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(f"{title}: {100 * audit.errors[path]:.2g} %" if audit.taught else title)
    legend(axes)


def errors(axes: Axes, audit: Audit) -> None:
    """Draw how the errors of the paths are distributed."""
    axes.set_title("error of stress, path by path")
    if not audit.taught:
        return nothing(axes, "no teacher's answers were given;\nsee the card")
    values = 100 * audit.errors[np.isfinite(audit.errors)]
    if len(values) == 0:
        return nothing(axes, "no path has a finite answer")
    top = max(values.max(), 1e-12)
    axes.hist(values, bins=np.linspace(0.0, top, 31), color=LAW, alpha=0.8)
    figures = audit.figures
    marks = (("median", figures.error_median, ":"), ("mean", figures.error_mean, "-"), ("95 %", figures.error_95, "--"))
    for name, value, style in marks:
        if value is not None and np.isfinite(value):
            axes.axvline(100 * value, color=TEACHER, ls=style, lw=1.2, label=f"{name} {100 * value:.2g} %")
    axes.set(xlabel=r"$\|\sigma-\hat\sigma\|\;/\;\|\hat\sigma\|$ / %", ylabel="paths")
    return legend(axes)


def refinement(axes: Axes, audit: Audit) -> None:
    """Draw the spread under refinement: mean, and the range from 10 to 90 % of the paths."""
    axes.set_title("the same path in finer steps")
    both = ((audit.refinement, "strain control (stress)", LAW, "refinement"),
            (audit.by_stress.spread, "stress control (strain)", OTHER, "refinement_stress"))  # fmt: skip
    for spread, name, colour, figure in both:
        factors = [factor for factor, change in spread.items() if len(change) and np.isfinite(change).all()]
        if not factors:
            continue
        values = np.array([np.quantile(spread[factor], (0.1, 0.9)) for factor in factors])
        mean = np.array([spread[factor].mean() for factor in factors])
        low, high, mean = (np.maximum(100 * array, 100 * FLOOR) for array in (values[:, 0], values[:, 1], mean))
        axes.fill_between(factors, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(factors, mean, "o-", color=colour, ms=4, label=name)
        axes.axhline(100 * _GOAL[figure].good, color=colour, ls=":", lw=1)
    axes.set(xscale="log", yscale="log", xlabel="parts of each step", ylabel="relative change / %")
    axes.set_xticks(list(audit.refinement), [f"{factor}" for factor in audit.refinement])
    axes.minorticks_off()
    if audit.by_stress.undriven:
        axes.plot([], [], " ", label=f"{audit.by_stress.undriven} of {audit.by_stress.paths} paths not led by stress")
    legend(axes)


def drift(axes: Axes, audit: Audit) -> None:
    """Draw how the stress moves while the strain is held."""
    axes.set_title("held strain")
    values = np.maximum(100 * audit.drift[np.isfinite(audit.drift).all(axis=1)], 100 * FLOOR)
    if len(values) == 0:
        return nothing(axes, "no path has a finite answer")
    steps = np.arange(values.shape[1])[1:]
    low, high = np.quantile(values[:, 1:], (0.1, 0.9), axis=0)
    axes.fill_between(steps, low, high, color=LAW, alpha=0.15, lw=0, label="10 to 90 % of the paths")
    axes.plot(steps, values[:, 1:].mean(axis=0), color=LAW, label="mean")
    axes.set(yscale="log", xlabel="held steps", ylabel="change of stress / % of largest")
    return legend(axes)


def eigenvalues(axes: Axes, audit: Audit) -> None:
    """Draw the distribution of the smallest eigenvalue of the symmetric tangent over its largest."""
    axes.set_title("stability of the tangent")
    values = audit.softness
    if len(values) == 0:
        return nothing(axes, "the law gives no tangent")
    split_histogram(axes, values, max(values.max(), 1e-3))
    axes.axvline(0.0, color=TEACHER, lw=0.8)
    share = 100 * np.mean(values < NEGATIVE)
    axes.text(0.03, 0.93, f"{share:.2g} % of the points negative", transform=axes.transAxes, fontsize=7.5)
    axes.set(yscale="log", xlabel="smallest eigenvalue / largest", ylabel="points")
    axes.set_ylim(top=4 * axes.get_ylim()[1])
    return None


def cycles(axes: Axes, audit: Audit) -> None:
    """Draw the work of closed cycles: what is left of zero was given away for nothing."""
    axes.set_title("work of closed strain cycles")
    values = 100 * audit.cycles[np.isfinite(audit.cycles)]
    if len(values) == 0:
        return nothing(axes, "no cycle has a finite answer")
    split_histogram(axes, np.where(np.abs(values) < 1e-7, 0.0, values), max(values.max(), 1.0))
    axes.axvline(0.0, color=TEACHER, lw=0.8)
    least = f"least {values.min():.2g} %".replace("-", "−") if abs(values.min()) > 1e-7 else "none gives work away"
    axes.text(0.97, 0.93, least, transform=axes.transAxes, ha="right", fontsize=7.5)
    axes.set(xlabel="work kept / % of the work put in", ylabel="cycles")
    return None


def envelope(axes: Axes, audit: Audit, card: LawCard | None) -> None:
    """Draw the paths in the plane of the two widest strain components, with the box of the training."""
    axes.set_title("paths and training envelope")
    data = audit.dataset
    strain = data.strain - data.kinematics.reference
    labels = data.kinematics.components
    first, second = 0, 0
    if len(labels) > 1:
        first, second = sorted(np.argsort(-np.ptp(strain, axis=(0, 1)), kind="stable")[:2].tolist())
    shown = strain[:60]
    if len(labels) > 1:
        axes.plot(100 * shown[..., first].T, 100 * shown[..., second].T, color=LAW, lw=0.5, alpha=0.45)
        axes.set(xlabel=f"strain {labels[first]} / %", ylabel=f"strain {labels[second]} / %")
    else:
        axes.plot(100 * shown[..., 0].T, color=LAW, lw=0.5, alpha=0.45)
        axes.set(xlabel="step", ylabel=f"strain {labels[0]} / %")
    if card is None:
        return
    lower = 100 * (np.array(card.envelope.strain_min) - data.kinematics.reference)
    upper = 100 * (np.array(card.envelope.strain_max) - data.kinematics.reference)
    if len(labels) > 1:
        box = np.array([lower[[first, second]], upper[[first, second]]])
        x, y = box[[0, 1, 1, 0, 0], 0], box[[0, 0, 1, 1, 0], 1]
        axes.plot(x, y, color=OTHER, lw=1.6, label="training box")
    else:
        axes.axhspan(lower[0], upper[0], color=OTHER, alpha=0.2, label="training box")
    outside = np.mean((100 * strain < lower - 1e-9).any(axis=2) | (100 * strain > upper + 1e-9).any(axis=2))
    axes.plot([], [], " ", label=f"{100 * outside:.2g} % of the points outside")
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.15 * (high - low), high)
    axes.legend(loc="lower left", ncols=2)


def memory(axes: Axes, found: Explanation) -> None:
    """Draw how much of a past increment is still felt in the final stress."""
    axes.set_title("what the stress remembers")
    ago = np.arange(float(found.memory.shape[1]))[::-1]
    band(axes, ago, found.memory, LAW, "law")
    if found.teacher_memory is not None:
        axes.plot(ago, found.teacher_memory.mean(axis=0), color=TEACHER, ls="--", lw=1.6, label="teacher")
    axes.axhline(1.0, color=FAINT, lw=0.8, zorder=0)
    axes.set(xlabel="steps ago", ylabel="‖∂σ/∂Δε‖, shear part, last = 1", ylim=(0, None))
    legend(axes)


def shapley(axes: Axes, found: Explanation, labels: tuple[str, ...]) -> None:
    """Draw the mean Shapley value of each strain component in each part of the history, and the saliency of each."""
    # How much the stress is moved by each input: its column of ∂σ/∂Δε over paths and steps.
    saliency = np.linalg.norm(found.inputs, axis=0)
    saliency = 100 * saliency / max(saliency.sum(), np.finfo(float).tiny)
    if found.shapley is None:
        axes.set_title("saliency of the inputs")
        axes.barh(range(len(labels)), saliency, color=LAW, alpha=0.8)
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="share of ‖∂σ/∂Δε‖ / %\n(Shapley values: pip install 'pointlaw[explain]')")
        return axes.invert_yaxis()
    axes.set_title("Shapley shares of the final stress")
    shares = 100 * found.shapley.values.sum(axis=0) / found.shapley.total.sum()
    size = max(np.abs(shares).max(), 1e-12)
    axes.imshow(shares.T, cmap="RdBu_r", vmin=-size, vmax=size, aspect="auto")
    for (part, component), value in np.ndenumerate(shares):
        ink = "white" if abs(value) > 0.6 * size else "black"
        axes.text(
            part, component, f"{round(value)} %".replace("-", "−"), ha="center", va="center", fontsize=7.5, color=ink
        )
    ends = found.shapley.ends
    axes.set_xticks(range(len(shares)), [f"{a + 1}–{b}" for a, b in itertools.pairwise(ends)])
    axes.set_yticks(range(len(labels)), [f"{k}\n{v:.0f} %" for k, v in zip(labels, saliency, strict=True)])
    axes.set(xlabel="steps of the path", ylabel="strain component, its share of ‖∂σ/∂Δε‖")
    axes.grid(False)
    return None


def recovered(axes: Axes, found: Explanation) -> None:
    """Draw the teacher's internal variable against the one that the network's memory holds."""
    axes.set_title("the teacher's state, found in the law's memory")
    if not found.recovered:
        return nothing(axes, "no internal variables to compare with:\ngive the teacher (teacher=, --teacher)")
    # The variable that the strain says least about tells most about the memory.
    best = min(found.recovered, key=lambda one: one.r2_strain)
    rows = np.random.default_rng(0).permutation(len(best.true))[:2500]
    axes.scatter(best.true[rows], best.found[rows], s=3, color=LAW, alpha=0.35, lw=0, rasterized=True)
    ends = [best.true.min(), best.true.max()]
    axes.plot(ends, ends, color=TEACHER, lw=1)
    name = best.name.replace("_", " ")
    axes.set(xlabel=f"{name} of the teacher", ylabel="linear map of memory and strain")
    axes.locator_params(nbins=5)
    lines = [f"{'R²':<22}memory  strain    both"]
    lines += [
        f"{one.name.replace('_', ' ')[:21]:<22}{one.r2:6.2f}{one.r2_strain:8.2f}{one.r2_both:8.2f}"
        for one in found.recovered[:4]
    ]
    axes.text(0.03, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=6.2, family="monospace",
              bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5})  # fmt: skip
    return None


def band(axes: Axes, x: Array, values: Array, colour: str, name: str) -> None:
    """Draw mean and the range from 10 to 90 % of ``values[n, k]``."""
    finite = values[np.isfinite(values).all(axis=1)]
    if len(finite) == 0:
        return
    low, high = np.quantile(finite, (0.1, 0.9), axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axes.plot(x, finite.mean(axis=0), color=colour, label=name)


def split_histogram(axes: Axes, values: Array, top: float) -> None:
    """Draw a histogram whose bins begin at zero, the negative ones in red."""
    width = (top - min(values.min(), 0.0)) / 40
    bins = width * np.arange(np.floor(min(values.min(), 0.0) / width), np.ceil(top / width) + 1)
    _, edges, bars = axes.hist(values, bins=bins, color=LAW, alpha=0.8)
    for edge, bar in zip(edges, bars, strict=False):
        if edge < -0.5 * width:
            bar.set_color(LIGHTS[Verdict.BAD][0])


def legend(axes: Axes) -> None:
    """Add a legend if there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def nothing(axes: Axes, why: str) -> None:
    """Say in empty axes why there is nothing to see."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="#7b838f", fontsize=8)
