"""Make plate_with_hole.msh: a quarter of the perforated strip, 36 mm x 20 mm with a hole of diameter 10 mm.

Bilinear quadrilaterals on a structured, graded grid: 2D, unit of length mm, hole centred at the origin. Run
``python meshes/make_plate_with_hole.py`` (needs gmsh); the file beside this script is written again.
"""

import math
from pathlib import Path

import gmsh

LENGTH, HEIGHT, RADIUS = 18.0, 10.0, 5.0
AROUND, OUTWARD, GRADING = 20, 26, 1.07  # cells on each half of the hole, cells from the hole outwards


def main(path: Path) -> None:
    """Write the mesh to ``path``."""
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add("plate_with_hole")
    geo = gmsh.model.geo
    diagonal = RADIUS / math.sqrt(2.0)
    centre = geo.addPoint(0.0, 0.0, 0.0)
    hole = [geo.addPoint(*xy, 0.0) for xy in ((RADIUS, 0.0), (diagonal, diagonal), (0.0, RADIUS))]
    edge = [geo.addPoint(*xy, 0.0) for xy in ((LENGTH, 0.0), (LENGTH, HEIGHT), (0.0, HEIGHT))]
    arcs = [geo.addCircleArc(hole[0], centre, hole[1]), geo.addCircleArc(hole[1], centre, hole[2])]
    spokes = [geo.addLine(a, b) for a, b in zip(hole, edge, strict=True)]
    right, top = geo.addLine(edge[0], edge[1]), geo.addLine(edge[1], edge[2])
    surfaces = [
        geo.addPlaneSurface([geo.addCurveLoop(loop)])
        for loop in ([spokes[0], right, -spokes[1], -arcs[0]], [spokes[1], top, -spokes[2], -arcs[1]])
    ]
    for curve in (*arcs, right, top):
        geo.mesh.setTransfiniteCurve(curve, AROUND + 1)
    for curve in spokes:
        geo.mesh.setTransfiniteCurve(curve, OUTWARD + 1, "Progression", GRADING)
    for surface in surfaces:
        geo.mesh.setTransfiniteSurface(surface)
        geo.mesh.setRecombine(2, surface)
    geo.synchronize()
    groups = {"left": [spokes[2]], "bottom": [spokes[0]], "right": [right], "top": [top], "hole": arcs}
    gmsh.model.addPhysicalGroup(2, surfaces, tag=1, name="plate")
    for tag, (name, curves) in enumerate(groups.items(), start=11):
        gmsh.model.addPhysicalGroup(1, curves, tag=tag, name=name)
    gmsh.model.mesh.generate(2)
    # Version 2 is what every reader knows, and its element list carries the physical tags directly.
    gmsh.option.setNumber("Mesh.MshFileVersion", 2.2)
    gmsh.write(str(path))
    gmsh.finalize()


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".msh").with_name("plate_with_hole.msh"))
