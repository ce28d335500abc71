"""The audit of a law on one page: a picture (PNG, PDF, SVG), or an HTML file that needs nothing else.

The page has the figures with their goals, the stress–strain curves of the best, the median and the worst path, the
distributions behind the figures, and the explanation of the law. matplotlib belongs to the extra ``plot``.
"""

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np

from pointlaw.data import check_writable, write_bytes
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.laws import panels
from pointlaw.laws.audit.goals import Judgement, Verdict, judge, stands
from pointlaw.laws.audit.measure import Audit
from pointlaw.laws.card import LawCard
from pointlaw.laws.explain import Explanation
from pointlaw.laws.summary import covered

PICTURES = (".png", ".pdf", ".svg")
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#5b6470",
    "axes.linewidth": 0.7,
    "grid.color": "#e8eaee",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "font.family": "DejaVu Sans",
}


def draw_page(
    audit: Audit, path: str | Path, *, card: LawCard | None = None, explanation: Explanation | None = None
) -> None:
    """Draw ``audit`` as one page into the file ``path``: ``.png``, ``.pdf``, ``.svg`` or ``.html``.

    ``card`` gives name, origin and envelope, and the figures to compare with; ``explanation`` fills the last row.
    Raises ``InputError`` for another suffix or a place that is not writable, ``EnvironmentProblem`` when matplotlib is
    not installed.
    """
    path = Path(path)
    check_page(path)
    if path.suffix == ".html":
        picture = _picture(audit, card, explanation, ".png", table=False)
        content = _html(audit, card, picture).encode()
    else:
        content = _picture(audit, card, explanation, path.suffix, table=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)


def check_page(path: Path) -> None:
    """Raise ``InputError`` unless a page can be drawn into the file ``path``: ask before an audit."""
    if path.suffix not in (*PICTURES, ".html"):
        raise InputError(f"A page is drawn as {', '.join(PICTURES)} or .html; {path.name} has none of these suffixes.")
    check_writable(path)


def headline(audit: Audit, card: LawCard | None) -> tuple[str, list[str]]:
    """Return the name of the law and the lines below it: what it is, where it comes from, what it was measured on."""
    data = audit.dataset
    measured = f"Measured on {data.paths} paths of {data.times - 1} steps"
    if audit.taught:
        measured += f" of '{data.card.teacher}', data sha256 {data.sha256[:12]}…"
    else:
        measured += " inside the envelope, without a teacher"
    if card is None:
        return "Audit of a law", [str(data.kinematics), measured]
    origin, envelope, units = card.provenance, card.envelope, card.units
    config = ", ".join(f"{name} {value}" for name, value in card.config.items() if not isinstance(value, list | dict))
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    return card.name, [
        f"{card.architecture} ({config}), {card.precision}, {data.kinematics}; stress in {units.stress}, "
        f"time in {units.time}",
        f"Taught by {origin.teacher or 'a teacher without name'} on {envelope.paths} paths of {envelope.steps} steps, "
        f"data sha256 {origin.training_sha256[:12] or 'unknown'}…; {versions}",
        *(f"{name[0].upper()}{name[1:]}: {value}" for name, value in covered(card, short=True)[1:]),
        measured,
    ]


def _picture(audit: Audit, card: LawCard | None, found: Explanation | None, suffix: str, *, table: bool) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EnvironmentProblem("A page needs matplotlib: pip install 'pointlaw[plot]'.") from None
    with mpl.rc_context(STYLE):
        rows = 4 if found is not None else 3
        names: Any = [[f"{row}{column}" for column in range(3)] for row in range(rows)]
        widths, heights, size = [1.0, 1.0, 1.0], [1.0] * rows, (12.6, 2.9 * rows)
        if table:
            names = [["head"] * 4, *(["table", *row] for row in names)]
            widths, heights, size = [1.42, *widths], [0.5, *heights], (17.6, 2.9 * rows + 1.4)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.1, h_pad=0.08, wspace=0.02, hspace=0.02)
        axes: dict[str, Any] = figure.subplot_mosaic(names, width_ratios=widths, height_ratios=heights)
        if table:
            panels.head(axes["head"], *headline(audit, card))
            panels.table(axes["table"], judge(audit.figures), judge(card.figures) if card is not None else None)
        _draw(axes, audit, card, found)
        target = io.BytesIO()
        figure.savefig(target, format=suffix[1:], dpi=130)
    return target.getvalue()


def _draw(axes: dict[str, Any], audit: Audit, card: LawCard | None, found: Explanation | None) -> None:
    """Fill the panels."""
    order = np.argsort(np.where(np.isfinite(audit.errors), audit.errors, np.inf))
    units = card.units if card is not None else audit.dataset.card.units
    names = ("best path", "median path", "worst path") if audit.taught else ("a path", "another path", "a third path")
    for column, (name, rank) in enumerate(zip(names, (0, (len(order) - 1) // 2, -1), strict=True)):
        panels.curves(axes[f"0{column}"], audit, int(order[rank]), name, units.stress)
    panels.errors(axes["10"], audit)
    panels.refinement(axes["11"], audit)
    panels.drift(axes["12"], audit)
    panels.envelope(axes["20"], audit, card)
    panels.eigenvalues(axes["21"], audit)
    panels.cycles(axes["22"], audit)
    if found is not None:
        panels.memory(axes["30"], found)
        panels.shapley(axes["31"], found, audit.dataset.kinematics.components)
        panels.recovered(axes["32"], found)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>
body {{ font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1d232b; max-width: 1180px; margin: 2.5em auto;
  padding: 0 1.5em; }}
h1 {{ font-size: 1.7em; margin: 0 0 .2em; }} p {{ margin: .15em 0; color: #444c56; }}
table {{ border-collapse: collapse; margin: 1.6em 0; width: 100%; }}
th {{ text-align: left; font-weight: normal; font-style: italic; color: #5b6470; border-bottom: 1px solid #5b6470; }}
td {{ border-bottom: 1px solid #e8eaee; }} td, th {{ padding: .22em .6em; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
td.note {{ color: #5b6470; font-size: .9em; }} svg {{ vertical-align: -2px; }} img {{ width: 100%; }}
footer {{ color: #5b6470; font-size: .85em; margin-top: 1em; }}
</style></head><body>
<h1>{name}</h1>
{lines}
<table><tr><th></th><th>figure</th><th class="number">measured</th>{card_head}<th class="number">goal</th>
<th>what to change</th></tr>
{rows}
</table>
<img alt="Curves, distributions and explanation of the law" src="data:image/png;base64,{picture}">
<footer>Circle: good. Triangle: fair. Square: bad. Dash: not measured. Relative figures; the page law_card of the
documentation defines each of them.</footer>
</body></html>
"""

_SHAPES = {
    Verdict.GOOD: '<circle cx="7" cy="7" r="5.5" fill="{}"/>',
    Verdict.FAIR: '<path d="M7 1 L13 12.5 L1 12.5 Z" fill="{}"/>',
    Verdict.BAD: '<rect x="2" y="2" width="10" height="10" fill="{}"/>',
    Verdict.UNKNOWN: '<rect x="2" y="6" width="10" height="2" fill="{}"/>',
}


def _html(audit: Audit, card: LawCard | None, picture: bytes) -> str:
    name, lines = headline(audit, card)
    before = judge(card.figures) if card is not None else None
    measured = judge(audit.figures)
    verdicts = stands(measured, before)
    rows = [_row(line, None if before is None else before[k], verdicts[k]) for k, line in enumerate(measured)]
    return _PAGE.format(
        name=html.escape(name),
        lines="\n".join(f"<p>{html.escape(line)}</p>" for line in lines),
        card_head="" if before is None else '<th class="number">card</th>',
        rows="\n".join(rows),
        picture=base64.b64encode(picture).decode(),
    )


def _row(line: Judgement, before: Judgement | None, verdict: Verdict) -> str:
    shape = _SHAPES[verdict].format(panels.LIGHTS[verdict][0])
    light = f'<svg width="14" height="14" role="img" aria-label="{verdict}">{shape}</svg>'
    cells = [f"<td>{light}</td><td>{html.escape(line.goal.label)}</td>"]
    for text in (*(one.shown if one.value is not None else "–" for one in (line, before) if one), line.goal.wanted):
        cells.append(f'<td class="number">{html.escape(text)}</td>')
    missed = verdict in (Verdict.FAIR, Verdict.BAD)
    cells.append(f'<td class="note">{html.escape(line.goal.advice) if missed else ""}</td>')
    return f"<tr>{''.join(cells)}</tr>"
