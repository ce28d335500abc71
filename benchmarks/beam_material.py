"""A computed lattice cell as a law, ``F → P``: what the solver, the point driver and the farm can ask like any other.

    material = BeamCell(CONSTANTS["X"])
    drive(material, LoadPath(...))  # a side may be free: its stress is prescribed, its stretch is found

The state is where the nodes of the cell are; a cell that finds no equilibrium answers ``FAILED``, and the step is cut.
"""

import numpy as np
import torch

from beams import Beams, Cell
from pointlaw.materials import Material, PointStatus, Response, StateLayout
from pointlaw.tensors import FINITE_STRAIN_3D, Array

LARGEST = 10.0  # component of F that is tried


class BeamCell(Material):
    """The cell of ``benchmarks/beams.py``; stresses in Pa."""

    kinematics = FINITE_STRAIN_3D
    symmetric = True

    def __init__(self, cell: Cell):
        self.cell, self.beams = cell, Beams(cell)
        self.state_layout = StateLayout(shifts=3 * self.beams.nodes, turns=4 * self.beams.nodes)

    def initial_state(self, points: int) -> Array:
        """Return ``[p, s]``: every node at its place."""
        shifts, turns = self.beams.at_rest(points)
        return self.state_layout.join(shifts=shifts.numpy(), turns=turns.numpy())

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Go to the equilibrium near the one of the state; see :meth:`pointlaw.materials.Material.update`."""
        sound = np.isfinite(strain).all(1) & (np.abs(strain).max(1, initial=0.0) < LARGEST)
        p, n = len(strain), self.beams.nodes
        answer = Response(
            stress=np.full((p, 9), np.nan), tangent=np.full((p, 9, 9), np.nan) if tangent else None, state=state.copy()
        )  # so far every point has failed
        if sound.any():
            F = torch.tensor(strain[sound]).view(-1, 3, 3)
            parts = self.state_layout.split(state[sound])
            P, fine, *where = self.beams.step(
                F, torch.tensor(parts["shifts"]).view(-1, n, 3), torch.tensor(parts["turns"]).view(-1, n, 4)
            )
            answer.stress[sound] = self.cell.tension * P.flatten(1).numpy()
            answer.state[sound] = self.state_layout.join(shifts=where[0].numpy(), turns=where[1].numpy())
            answer.status[sound] = np.where(fine.numpy(), PointStatus.FINE, PointStatus.FAILED)
            if answer.tangent is not None:
                answer.tangent[sound] = self.cell.tension * self.beams.moduli(F, *where).numpy()
        return answer
