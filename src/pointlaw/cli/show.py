"""``pointlaw show``: the card of a law file, after its seal was checked; or a picture of a mesh or voxel image."""

from pathlib import Path
from typing import Annotated, Any

import typer


def show(
    file: Annotated[Path, typer.Argument(help="A law file or a card as JSON; a mesh; a voxel image.")],
    json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Picture of a mesh; by default FILE with the suffix .png.")] = None,
) -> None:
    """Show what a law file says of itself, or draw the phases of a mesh or a voxel image."""
    if not is_law(file):
        picture(file, file.with_suffix(".png") if out is None else out)
        return
    from pointlaw.laws import read_card

    card = read_card(file)
    if json:
        print(card.model_dump_json(indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{card.name} ({file})", show_header=False)
    for name, value in rows(card):
        table.add_row(name, value)
    Console().print(table)


def is_law(file: Path) -> bool:
    """Whether ``file`` is a law file or a card: by its suffix, or under any other by the header that weights have."""
    if file.suffix in (".safetensors", ".json"):
        return True
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        start = opened.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= file.stat().st_size - 8


def picture(file: Path, out: Path) -> None:
    """Draw a mesh file or a voxel image (``.npy``, ``.tif``, ``.vti``) into an image file."""
    from pointlaw.fem import MPI, read_mesh
    from pointlaw.rve.microstructure import read_image
    from pointlaw.rve.picture import draw_mesh

    if file.suffix in (".npy", ".tif", ".tiff", ".vti"):
        image = read_image(file)
        body = image.mesh(image.voxels.shape, comm=MPI.COMM_SELF)
    else:
        body = read_mesh(file, MPI.COMM_SELF)
    draw_mesh(body, out)
    print(f"{body.source} drawn into {out}")


def rows(card: Any) -> list[tuple[str, str]]:
    """Return the lines of the table: name and value."""
    from pointlaw.laws.summary import covered, origin

    lines = [*origin(card), *covered(card)]
    for name, value in card.figures.model_dump().items():
        if isinstance(value, dict):
            shown = ", ".join(f"{parts} parts {change:.3g}" for parts, change in value.items())
        else:
            shown = "not known" if value is None else f"{value:.4g}"
        lines.append((name.replace("_", " "), shown))
    return lines
