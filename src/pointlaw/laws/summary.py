"""What a card says beside its figures, as lines for a table: where a law comes from, and what its training covered.

The command line prints these lines and the page has them below the name of the law, so that both say the same.
"""

from pointlaw.laws.card import LawCard

Lines = list[tuple[str, str]]


def origin(card: LawCard) -> Lines:
    """Return name and value of what the law is, its units, teacher, data and versions."""
    units, come = card.units, card.provenance
    config = ", ".join(f"{name}={value}" for name, value in card.config.items())
    return [
        ("architecture", f"{card.architecture}({config}), {card.precision}"),
        ("kinematics", str(card.measure)),
        ("features", ", ".join(card.features)),
        ("units", str(units)),
        ("teacher", come.teacher or "not named"),
        ("training data", _hash(come.training_sha256)),
        ("kept-back data", _hash(come.kept_back_sha256)),
        ("made with", ", ".join(f"{name} {version}" for name, version in come.versions.items())),
    ]


def covered(card: LawCard, *, short: bool = False) -> Lines:
    """Return name and value of what the training paths covered: their number, steps, strains and density.

    ``short`` puts all strains into one line.
    """
    envelope, unit = card.envelope, card.units.time
    steps = f"{envelope.step_min:.3g} to {envelope.step_max:.3g}, median {envelope.step_median:.3g}"
    steps += f", in {envelope.dt_min:.3g} to {envelope.dt_max:.3g} {unit}; longest path {envelope.arc_length:.3g}"
    ranges = zip(card.measure.components, envelope.strain_min, envelope.strain_max, strict=True)
    strains = [(f"strain {label}", f"{low:.4g} to {high:.4g}") for label, low, high in ranges]
    if short:
        strains = [("strains", ", ".join(f"{name.removeprefix('strain ')} {value}" for name, value in strains))]
    lines = [("trained on", f"{envelope.paths} paths of {envelope.steps} steps"), ("steps of strain", steps), *strains]
    density = envelope.density
    if density is None:
        return [*lines, ("density", "none; with_density adds one")]
    what = f"{density.centres} balls along {density.axes} axes of strain and state"
    grades = f"kept-back points have grade {density.grade_median:.2g} in the median"
    return [*lines, ("density", f"{what}; {grades}, {100 * density.beyond:.2g} % are beyond 1")]


def _hash(sha256: str) -> str:
    return f"sha256 {sha256[:12]}…" if sha256 else "unknown"
