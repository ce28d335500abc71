"""``pointlaw train`` as a user types it, and the file that it reads."""

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Units, load_dataset, sample, save_dataset
from pointlaw.errors import InputError
from pointlaw.laws import load_law
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.networks import GRU, NETWORKS, GaussianProcess, Network
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training.train_file import read_train_file, train_law

BASE = """
dataset = "steel.h5"
output = "laws/steel.safetensors"
kept_back = 0.25
"""
GRU_8 = BASE + 'architecture = "gru"\n[network]\nhidden = 8\n'
QUICK = "[train]\nepochs = 4\nbatch = 8\nlearning_rate = 0.01\ncheckpoint_every = 1\n"


@pytest.fixture(scope="module")
def steel() -> Dataset:
    path = gaussian_process(20, seed=0, steps=8, bound=0.01, kinematics=PLANE_STRAIN)
    return sample(PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), path, teacher="steel")


@pytest.fixture
def folder(tmp_path, steel):
    save_dataset(tmp_path / "steel.h5", steel)
    return tmp_path


@pytest.fixture
def train(folder, pointlaw):
    """Return a function that writes a configuration and runs the command on it: (exit status, stdout, stderr)."""

    def run(text, *words):
        (folder / "train.toml").write_text(text, encoding="utf-8")
        return pointlaw("train", folder / "train.toml", *words)

    return run


def weights(path) -> torch.Tensor:
    return torch.cat([value.flatten() for value in load_law(path).network.state_dict().values()])


def test_a_dataset_becomes_a_law_file_and_its_card_is_printed(train, folder, steel) -> None:
    status, out, err = train(GRU_8 + QUICK)
    assert status == 0, err
    law = load_law(folder / "laws" / "steel.safetensors")
    assert isinstance(law.network, GRU)
    assert law.card.name == "steel"
    assert law.card.figures.paths == 5
    assert law.card.envelope.paths == 13  # of 20 paths 5 are kept back, and 2 of 15 decide about the best epoch
    assert law.card.provenance.training["learning_rate"] == 0.01
    assert law.density is not None
    assert law.card.envelope.density.kept_back_paths == 5
    for word in ("along", law.card.provenance.training_sha256[:12], f"longest path {law.card.envelope.arc_length:.3g}"):
        assert word in out
    assert "error mean" in out
    assert f"{law.card.figures.error_mean:.4g}" in out
    assert "all 4 epochs were done" in out
    assert "validation" in err  # the bar
    assert not list((folder / "laws").glob("*.checkpoint"))


def test_quiet_shows_no_bar_and_a_law_without_a_density_says_so(train, folder) -> None:
    _, out, err = train("density = false\n" + GRU_8 + QUICK, "--quiet")
    assert err == ""
    assert "with_density adds one" in out
    assert load_law(folder / "laws" / "steel.safetensors").density is None


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(train, folder) -> None:
    assert train(GRU_8 + QUICK, "--quiet")[0] == 0
    path = folder / "laws" / "steel.safetensors"
    whole = weights(path)
    path.unlink()

    def kill(epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_law(read_train_file(folder / "train.toml"), folder, on_epoch=kill)
    assert (folder / "laws" / "steel.safetensors.checkpoint").exists()
    seen = []
    train_law(read_train_file(folder / "train.toml"), folder, on_epoch=lambda epoch: seen.append(epoch.number))
    assert seen == [2, 3]  # the checkpoint of epoch 2 was written before the kill, and is told again
    assert torch.equal(weights(path), whole)


def test_a_search_prints_its_trials_and_writes_the_best(train, folder) -> None:
    pytest.importorskip("optuna")
    text = GRU_8 + QUICK + '[search]\ntrials = 3\n[search.space]\n"network.hidden" = [3, 5]\n'
    text += '"train.learning_rate" = { low = 1e-3, high = 3e-2, log = true }\n'
    status, out, err = train(text, "--quiet")
    assert status == 0, err
    assert out.count("network.hidden") == 3
    assert load_law(folder / "laws" / "steel.safetensors").card.config["hidden"] in (3, 5)


def test_a_killed_search_goes_on_and_writes_the_same_law(train, folder) -> None:
    pytest.importorskip("optuna")
    text = GRU_8 + QUICK + '[search]\ntrials = 2\n[search.space]\n"train.learning_rate" = { low = 1e-3, high = 3e-2 }\n'
    assert train(text, "--quiet")[0] == 0
    path = folder / "laws" / "steel.safetensors"
    whole = weights(path)
    path.unlink()

    def kill(row) -> None:
        raise KeyboardInterrupt

    file, seen = read_train_file(folder / "train.toml"), []
    with pytest.raises(KeyboardInterrupt):
        train_law(file, folder, on_trial=kill)
    assert {path.name for path in (folder / "laws").glob("*.checkpoint/*.pt")} == {"run.pt", "trial_0.pt"}
    train_law(file, folder, on_trial=seen.append)
    assert [row.number for row in seen] == [0, 1]
    assert torch.equal(weights(path), whole)
    assert not list((folder / "laws").glob("*.checkpoint"))


def test_a_training_begins_with_another_law_and_freezes_what_is_named(train, folder) -> None:
    assert train(GRU_8 + QUICK, "--quiet")[0] == 0
    first = load_law(folder / "laws" / "steel.safetensors")
    text = 'dataset = "steel.h5"\noutput = "again.safetensors"\nstart_from = "laws/steel.safetensors"\npaths = 8\n'
    status, _, err = train(text + QUICK + 'freeze = ["cells.*"]\nprecision = "float64"\n', "--quiet")
    assert status == 0, err
    second = load_law(folder / "again.safetensors")
    before, after = first.network.state_dict(), second.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name].double(), after[name].double())}
    assert moved == {"head.weight", "head.prior"}
    assert second.card.scaling == first.card.scaling
    assert second.card.provenance.training["start_from"] == "laws/steel.safetensors"


def test_a_training_does_not_begin_with_a_law_in_other_units(train, folder, steel) -> None:
    assert train(GRU_8 + QUICK, "--quiet")[0] == 0
    card = steel.card.model_copy(update={"units": Units(stress="Pa")})
    save_dataset(folder / "pascal.h5", Dataset(steel.time, steel.strain, 1e6 * steel.stress, card))
    text = 'dataset = "pascal.h5"\noutput = "again.safetensors"\nstart_from = "laws/steel.safetensors"\n'
    status, out, err = train(text + QUICK, "--quiet")
    assert (status, out) == (1, "")
    assert "the law laws/steel.safetensors are (stress MPa, strain 1, time s), those of the dataset (stress Pa" in err
    assert err.count("\n") == 1
    assert not (folder / "again.safetensors").exists()


def test_a_gaussian_process_is_conditioned(train, folder, steel) -> None:
    path = gaussian_process(20, seed=0, steps=8, bound=0.01, kinematics=PLANE_STRAIN)
    save_dataset(folder / "steel.h5", sample(PlaneStrain(LinearElastic(E=210e3, nu=0.3)), path))
    status, out, err = train(BASE + 'architecture = "gaussian_process"\n[network]\npoints = 30\n')
    assert status == 0, err
    law = load_law(folder / "laws" / "steel.safetensors")
    assert isinstance(law.network, GaussianProcess)
    assert law.card.figures.error_mean < 1e-3
    assert "the evidence is greatest" in out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GRU_8.replace("kept_back", "keptback"), "'keptback' is not a known entry"),
        (GRU_8.replace('dataset = "steel.h5"\n', ""), "'dataset' is missing"),
        (GRU_8.replace('"gru"', '"grue"'), "architecture = 'grue' is unknown; known are"),
        (GRU_8 + "[train]\nepoch = 3\n", "'train.epoch' is not a known entry"),
        (GRU_8 + "[train]\nepochs = 0\n", "train.epochs = 0"),
        (GRU_8.replace("hidden", "neurons"), "does not build a network 'gru'"),
        (GRU_8.replace("steel.h5", "iron.h5"), "iron.h5"),
        (BASE, "either an architecture or a law file"),
        (BASE + 'architecture = "gru"\npaths = 50\n', "paths = 50, but only 15 of 20"),
        (BASE + 'start_from = "none.safetensors"\n', "There is no law file"),
        (BASE + 'start_from = "a.safetensors"\n[network]\nhidden = 3\n', "takes the network as it is"),
        (BASE + 'architecture = "gaussian_process"\n[network]\nhidden = 3\n', "has 'points'"),
        ("dataset", "is not a TOML file"),
        (GRU_8.replace("laws/steel.safetensors", "steel.h5"), "output = 'steel.h5' is the dataset or a folder"),
        (GRU_8.replace("laws/steel.safetensors", ""), "output = '' is the dataset or a folder"),
        (GRU_8.replace("laws/", "steel.h5/"), "steel.h5/steel.safetensors cannot be written"),
        (
            BASE + 'architecture = "gaussian_process"\n[network]\npoints = "a"\n',
            "points = 'a'; points is a whole number",
        ),
        (BASE + 'architecture = "gaussian_process"\n[network]\npoints = 20.5\n', "points = 20.5"),
        (GRU_8.replace("hidden = 8", "features = 3"), "'network.features' follows from the dataset"),
        (GRU_8 + '[search]\nseed = -1\nspace = {"network.hidden" = [3]}\n', "got seed = -1"),
        (GRU_8 + '[search.space]\n"network.hidden" = {low = 1.0, high = inf}\n', "low must be below high"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(train, text, sentence) -> None:
    status, out, err = train(text, "--quiet")
    assert (status, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1


class Nowhere(Network):
    """A network that knows no number once its training is over."""

    architecture = "nowhere"

    def __init__(self, *, features: int, outputs: int):
        config = {"features": features, "outputs": outputs}
        super().__init__(features=features, outputs=outputs, state_sizes={}, config=config)
        self.factor = torch.nn.Parameter(torch.ones(()))

    def step(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (1.0 if self.training else float("nan")) * self.factor * x, state


def test_a_law_without_a_finite_answer_is_refused_and_its_training_is_kept(train, folder, monkeypatch) -> None:
    monkeypatch.setitem(NETWORKS, "nowhere", Nowhere)
    status, _, err = train(BASE + 'architecture = "nowhere"\n' + QUICK, "--quiet")
    assert status == 1
    checkpoint = folder / "laws" / "steel.safetensors.checkpoint"
    assert "answers each of the 5 kept-back paths with numbers that are not finite" in err
    assert err.endswith(f"What was trained is kept in {checkpoint}.\n")
    assert [path.name for path in (folder / "laws").iterdir()] == [checkpoint.name]


def test_a_missing_configuration_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_train_file(tmp_path / "none.toml")


def test_kept_back_paths_are_not_among_those_it_learns_from(folder) -> None:
    (folder / "train.toml").write_text(GRU_8 + QUICK, encoding="utf-8")
    trained = train_law(read_train_file(folder / "train.toml"), folder)
    kept, _ = load_dataset(folder / "steel.h5").split(0.25, 0.75, seed=0)
    assert trained.law.card.provenance.kept_back_sha256 == kept.sha256
    assert np.isfinite(trained.law.card.figures.error_mean)


def test_paths_that_are_kept_back_twice_are_refused_before_training(folder, steel) -> None:
    twice = Dataset(**{name: np.concatenate([array, array]) for name, array in steel.arrays.items()}, card=steel.card)
    save_dataset(folder / "steel.h5", twice)
    (folder / "train.toml").write_text(GRU_8 + QUICK, encoding="utf-8")
    epochs = []
    with pytest.raises(InputError, match="kept-back paths are training paths"):
        train_law(read_train_file(folder / "train.toml"), folder, on_epoch=epochs.append)
    assert not epochs
