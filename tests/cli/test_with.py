"""``pointlaw --with FILE``: a network of one's own goes through the commands like those of the package."""

from pointlaw.data import sample, save_dataset
from pointlaw.materials import MATERIALS
from pointlaw.networks import NETWORKS
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN

ELMAN = """
import torch
from torch import Tensor, nn
from pointlaw.networks import NETWORKS, Network


class Elman(Network):
    architecture = "elman"

    def __init__(self, *, features: int, outputs: int, hidden: int = 4):
        config = {"features": features, "outputs": outputs, "hidden": hidden}
        super().__init__(features=features, outputs=outputs, state_sizes={"hidden": hidden}, config=config)
        self.inward = nn.Linear(features + hidden, hidden, bias=False)
        self.outward = nn.Linear(hidden, outputs, bias=False)
        self.spring = nn.Linear(features, outputs, bias=False)  # reaches any stress: the audit need not search in vain
        nn.init.eye_(self.spring.weight)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.tanh(self.inward(torch.cat([x, state], 1)))
        return self.spring(x) + 0.1 * self.outward(new), new


NETWORKS["elman"] = Elman
"""
TRAIN = 'dataset = "steel.h5"\noutput = "mine.safetensors"\narchitecture = "elman"\n[train]\nepochs = 2\n'


def test_a_network_of_ones_own_is_trained_and_checked_from_the_command_line(pointlaw, monkeypatch, tmp_path) -> None:
    path = gaussian_process(10, seed=0, steps=4, bound=0.01, kinematics=PLANE_STRAIN)
    save_dataset(tmp_path / "steel.h5", sample(MATERIALS["j2_plane_strain"](), path))
    (tmp_path / "elman.py").write_text(ELMAN, encoding="utf-8")
    (tmp_path / "train.toml").write_text(TRAIN, encoding="utf-8")
    with monkeypatch.context() as own:
        own.setitem(NETWORKS, "elman", None)  # so that what the file adds is taken away again
        status, out, err = pointlaw("--with", tmp_path / "elman.py", "train", tmp_path / "train.toml", "--quiet")
        assert status == 0, err
        assert "elman(features=3" in out
        status, out, err = pointlaw("--with", tmp_path / "elman.py", "check", tmp_path / "mine.safetensors")
        assert status == 0, out + err
    status, _, err = pointlaw("check", tmp_path / "mine.safetensors")
    assert status == 1
    assert "NETWORKS['elman'] = its class" in err


def test_a_file_to_run_first_that_is_not_there_is_named(pointlaw, tmp_path) -> None:
    status, _, err = pointlaw("--with", tmp_path / "none.py", "show", "law.safetensors")
    assert status == 1
    assert "There is no file" in err
