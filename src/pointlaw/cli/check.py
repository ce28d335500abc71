"""``pointlaw check``: whether a law keeps the contract that the solver relies on."""

from typing import Annotated

import typer

from pointlaw.cli.laws import LAW_HELP, open_law


def check(
    law: Annotated[str, typer.Argument(help=LAW_HELP)],
    amplitude: Annotated[
        float | None, typer.Option(help="Norm of the strains it is led to; half the trained range for a learned law.")
    ] = None,
) -> None:
    """Check a law's shapes, purity, row independence, tangent and status; exit with 1 if it breaks the contract."""
    from pointlaw.testing import check_material

    material = open_law(law)
    card = getattr(material, "card", None)
    if card is None:
        report = check_material(material, amplitude=amplitude)
    else:
        # A learned law answers for what it saw: its strains, its step length, its arithmetic.
        envelope = card.envelope
        reach = 0.5 * min(min(map(abs, values)) for values in (envelope.strain_min, envelope.strain_max))
        report = check_material(
            material,
            amplitude=amplitude or reach or None,
            dt=envelope.dt_max,
            precision=1e-14 if card.precision == "float64" else 1e-6,
            zero_stress=False,
        )
    print(report)
    raise typer.Exit(0 if report.ok else 1)
