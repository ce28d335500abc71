"""``pointlaw check``: whether a law keeps the contract that the solver relies on, and how good a learned one is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointlaw.cli.laws import LAW_HELP, open_law, open_teacher
from pointlaw.errors import InputError
from pointlaw.materials import Material

if TYPE_CHECKING:
    from pointlaw.laws import Audit, LawCard
    from pointlaw.testing import CheckReport


def check(
    law: Annotated[str, typer.Argument(help=LAW_HELP)],
    data: Annotated[
        Path | None, typer.Option(help="A dataset that the law has not seen: its figures are measured on it.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Draw the audit into this .html, .png, .pdf or .svg file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this JSON file.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Law that made the data, for the page: a formula, a law file, or a sampling file (.toml)."),
    ] = None,
    paths: Annotated[int, typer.Option(min=2, help="Paths for refinement, drift, tangent and cycles.")] = 100,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a figure is bad.")] = False,
    amplitude: Annotated[
        float | None, typer.Option(help="Norm of the strains it is led to; half the trained range for a learned law.")
    ] = None,
) -> None:
    """Check a law's shapes, purity, row independence, tangent and status; exit with 1 if it breaks the contract.

    A learned law is audited as well: its figures are measured (on --data, or without a teacher on random paths inside
    its envelope) and shown beside those of its card and the goals.

    pointlaw check law.safetensors --data kept_back.h5 --page report.html
    """
    if amplitude is not None and not amplitude > 0.0:
        raise InputError(f"--amplitude = {amplitude} must be above zero.")
    check_outputs(page, json_file)
    material = open_law(law)
    card: LawCard | None = getattr(material, "card", None)
    if page is not None and data is None and card is None:
        raise InputError(f"The page of '{law}' needs --data: a formula has no card and no envelope of its own.")
    if teacher is not None and (page is None or card is None):
        raise InputError("--teacher is for the page of a learned law: give a law file and --page, or leave it out.")
    other = None if teacher is None else open_teacher(teacher)
    report = contract(material, amplitude)
    print(report)
    audit = figures_of(material, card, data, paths)
    missed = False
    if audit is not None:
        from pointlaw.cli.figures import print_figures
        from pointlaw.laws import Verdict, judge
        from pointlaw.laws.audit import stands

        print_figures(audit, card, law)
        verdicts = stands(judge(audit.figures), None if card is None else judge(card.figures))
        missed = strict and Verdict.BAD in verdicts
    if json_file is not None:
        write_json(json_file, report, audit, card)
    if page is not None and audit is not None:
        draw(page, material, audit, card, other)
        print(f"The page is in {page}.")
    raise typer.Exit(0 if report.ok and not missed else 1)


def check_outputs(page: Path | None, json_file: Path | None) -> None:
    """Raise ``InputError`` for a file that could not be written, before anything is measured."""
    from pointlaw.data import check_writable

    if json_file is not None:
        check_writable(json_file)
    if page is not None:
        from pointlaw.laws import check_page

        check_page(page)


def figures_of(material: Material, card: "LawCard | None", data: Path | None, paths: int) -> "Audit | None":
    """Return the audit on ``data``, or without a teacher inside the envelope of the card; ``None`` without both."""
    if data is not None:
        from pointlaw.data import load_dataset
        from pointlaw.laws import measure

        return measure(material, load_dataset(data), paths=paths)
    if card is not None:
        from pointlaw.laws import measure_alone

        return measure_alone(material, card.envelope, paths=min(paths, 24))
    return None


def contract(material: Material, amplitude: float | None) -> "CheckReport":
    """Return the report of :func:`~pointlaw.testing.check_material`, within what a learned law has seen."""
    from pointlaw.testing import check_material

    card = getattr(material, "card", None)
    if card is None:
        return check_material(material, amplitude=amplitude)
    # A learned law answers for what it saw: its strains, its step length, its arithmetic.
    envelope = card.envelope
    reach = 0.5 * min(min(map(abs, values)) for values in (envelope.strain_min, envelope.strain_max))
    return check_material(
        material,
        amplitude=amplitude or reach or None,
        dt=envelope.dt_max,
        precision=1e-14 if card.precision == "float64" else 1e-6,
        zero_stress=False,
    )


def draw(page: Path, material: Material, audit: "Audit", card: "LawCard | None", teacher: Material | None) -> None:
    """Draw the page, with the explanation if the law is a learned one."""
    from pointlaw.laws import LearnedMaterial, draw_page, explain

    explanation = None
    if isinstance(material, LearnedMaterial):
        explanation = explain(material, audit.dataset, teacher=teacher)
    draw_page(audit, page, card=card, explanation=explanation)


def write_json(file: Path, report: "CheckReport", audit: "Audit | None", card: "LawCard | None") -> None:
    """Write contract, figures, goals and verdicts; ``measured`` is null for what needs a teacher and had none."""
    content: dict[str, Any] = {
        "contract": {v.name: {"ok": v.ok, "detail": v.detail, "required": v.required} for v in report.verdicts},
        "ok": report.ok,
    }
    if audit is not None:
        from pointlaw.laws import judge

        content |= {
            "law": None if card is None else card.name,
            "data_sha256": audit.dataset.sha256 if audit.taught else None,
            "measured": json.loads(audit.figures.model_dump_json()),
            "card": None if card is None else json.loads(card.figures.model_dump_json()),
            "provenance": None if card is None else json.loads(card.provenance.model_dump_json()),
            "envelope": None if card is None else json.loads(card.envelope.model_dump_json()),
            "units": None if card is None else card.units.model_dump(),
            "goals": {
                line.goal.figure: {
                    "good": line.goal.good,
                    "fair": line.goal.fair,
                    "least": line.goal.least,
                    "verdict": str(line.verdict),
                }
                for line in judge(audit.figures)
            },
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
