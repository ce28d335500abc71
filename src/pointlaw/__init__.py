"""A constitutive law at every integration point, learned or written, in one DOLFINx solver.

Everything is a :class:`~pointlaw.materials.Material`: a formula, a network file, a representative volume
element, and every wrapper of these answer the same call. Nothing here imports DOLFINx or torch; the rooms
that need them (``pointlaw.fem``; ``pointlaw.networks``, ``training``, ``laws``) do so when they are imported.
"""

__version__ = "0.1.0"
