import importlib
import sys

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, sample
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import GRU, LSTM
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import Range, TrainConfig, search

QUICK = TrainConfig(epochs=3, batch=8)
SPACE = {"network.hidden": [4, 8], "train.learning_rate": Range(low=1e-3, high=3e-2, log=True)}


@pytest.fixture(scope="module")
def data() -> Dataset:
    path = gaussian_process(16, seed=0, steps=8, bound=0.01, kinematics=PLANE_STRAIN)
    return sample(PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), path, tangent=False)


def test_the_best_trial_is_returned_with_its_settings_and_its_network(data) -> None:
    pytest.importorskip("optuna")
    found = search(SPACE, data, train=QUICK, trials=5)
    finite = [row for row in found.table if row.outcome == "complete"]
    best = min(finite, key=lambda row: row.error)
    assert found.best.best.validation == best.error
    assert found.train.learning_rate == best.values["train.learning_rate"]
    assert found.network["hidden"] == best.values["network.hidden"] == found.best.network.config["hidden"]
    assert all(1e-3 <= row.values["train.learning_rate"] <= 3e-2 for row in found.table)
    assert len({row.values["train.learning_rate"] for row in found.table}) == 5


def test_a_search_gives_the_same_table_again(data) -> None:
    pytest.importorskip("optuna")
    first, second = (search(SPACE, data, train=QUICK, trials=4).table for _ in range(2))
    assert [(row.values, row.error) for row in first] == [(row.values, row.error) for row in second]
    assert search(SPACE, data, train=QUICK, trials=1, seed=7).table[0].values != first[0].values


def test_the_architecture_can_be_varied_and_the_rest_is_kept(data) -> None:
    pytest.importorskip("optuna")
    space = {"architecture": ["gru", "lstm"]}
    rows = []
    found = search(space, data, network={"hidden": 5}, train=QUICK, trials=6, callback=rows.append)
    assert {row.values["architecture"] for row in rows} == {"gru", "lstm"}
    assert isinstance(found.best.network, GRU if found.architecture == "gru" else LSTM)
    assert found.best.network.config["hidden"] == 5


def test_hopeless_trials_are_stopped_early(data) -> None:
    """A learning rate of 1e-9 learns nothing: after three good trials such a one does not get all its epochs."""
    pytest.importorskip("optuna")
    space = {"train.learning_rate": [1e-2, 1e-9]}
    train = QUICK.model_copy(update={"epochs": 12})
    table = search(space, data, network={"hidden": 6}, train=train, trials=10, warm_up=2).table
    pruned = [row for row in table if row.outcome == "pruned"]
    assert pruned
    assert all(row.values["train.learning_rate"] == 1e-9 and row.epochs < 12 for row in pruned)


def test_the_callback_can_end_the_search(data) -> None:
    pytest.importorskip("optuna")
    assert len(search(SPACE, data, train=QUICK, trials=9, callback=lambda row: row.number == 1).table) == 2


def test_a_search_that_is_killed_again_and_again_makes_the_same_choices(data, tmp_path, monkeypatch) -> None:
    """Also of those that are pruned; and no kill costs more than the epochs since the last checkpoint."""
    pytest.importorskip("optuna")
    space = {"train.learning_rate": [1e-2, 1e-9], "network.hidden": [3, 4, 5, 6]}
    options = {"train": QUICK.model_copy(update={"epochs": 4, "checkpoint_every": 2}), "trials": 8, "warm_up": 1}
    whole = search(space, data, **options)
    module = importlib.import_module("pointlaw.training.fit")
    epoch, kills, epochs = module._train, [3, 9, 12, 19], []

    def count(*arguments):
        if len(epochs) in kills:
            kills.remove(len(epochs))
            raise KeyboardInterrupt
        epochs.append(1)
        return epoch(*arguments)

    monkeypatch.setattr(module, "_train", count)
    while kills:
        with pytest.raises(KeyboardInterrupt):
            search(space, data, checkpoint=tmp_path, **options)
    seen = []
    resumed = search(space, data, checkpoint=tmp_path, callback=seen.append, **options)
    assert len(epochs) <= sum(row.epochs for row in whole.table) + 4
    rows = [[(r.number, r.values, r.error, r.epochs, r.outcome) for r in found.table] for found in (whole, resumed)]
    assert rows[0] == rows[1]
    assert {row.outcome for row in whole.table} == {"complete", "pruned"}
    assert resumed.table == seen
    assert (resumed.train, resumed.network, resumed.best.stopped) == (whole.train, whole.network, whole.best.stopped)
    first, second = (found.best.network.state_dict() for found in (whole, resumed))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_checkpoint_of_another_search_is_refused(data, tmp_path) -> None:
    pytest.importorskip("optuna")
    options = {"train": QUICK.model_copy(update={"epochs": 1}), "trials": 1}
    search(SPACE, data, checkpoint=tmp_path, **options)
    others = ({"seed": 1}, {"trials": 2}, {"warm_up": 3}, {"train": QUICK}, {"validation": data})
    for other in others:
        with pytest.raises(InputError, match="another network, dataset or configuration"):
            search(SPACE, data, checkpoint=tmp_path, **{**options, **other})
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        search(SPACE, data.subset(slice(8)), checkpoint=tmp_path, **options)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        search(SPACE, data, checkpoint=tmp_path / "file", **options)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({}, "is empty"),
        ({"learning_rate": [1.0]}, "cannot vary 'learning_rate'"),
        ({"train.speed": [1.0]}, "cannot vary 'train.speed'"),
        ({"train.learning_rate": {"low": 2.0, "high": 1.0}}, "range of 'train.learning_rate' cannot be used"),
        ({"train.learning_rate": 0.1}, "needs a list of choices or a range"),
        ({"train.learning_rate": [-1.0]}, "'train.learning_rate' = -1.0"),
        ({"train.learning_rate": {"low": 1e-3, "high": float("inf")}}, "low must be below high, both within"),
        ({"network.hidden": {"low": 3, "high": 10**400}}, "low must be below high, both within"),
        ({"network.neurons": [3]}, "cannot set 'network.neurons': it is no setting of gru"),
        ({"architecture": ["gru", "lstm"], "network.neurons": [3]}, "it is no setting of gru, lstm"),
        ({"network.features": [2, 3]}, "'network.features' follows from the dataset"),
        ({"network.outputs": [2, 3]}, "'network.outputs' follows from the dataset"),
        ({"architecture": ["gru", "grue"]}, "architecture 'grue' is unknown"),
        ({"architecture": {"low": 1, "high": 2}}, "'architecture' needs a list of choices; got"),
    ],
)
def test_a_wrong_space_gets_a_sentence_before_the_first_trial(data, tmp_path, space, sentence) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match=sentence):
        search(space, data, train=QUICK, trials=1, checkpoint=tmp_path / "new")
    tried = "train.learning_rate" in space and isinstance(space["train.learning_rate"], list)
    assert (tmp_path / "new").exists() is tried  # or else the checkpoint would refuse the search that is put right


def test_sizes_and_unknown_settings_that_are_not_varied_get_a_sentence_too(data) -> None:
    pytest.importorskip("optuna")
    space = {"architecture": ["gru", "lstm"]}
    with pytest.raises(InputError, match=r"'network\.outputs' follows from the dataset"):
        search(space, data, network={"outputs": 3}, train=QUICK, trials=1)
    with pytest.raises(InputError, match=r"'network\.elements': it is no setting of gru, lstm"):
        search(space, data, network={"elements": 3}, train=QUICK, trials=1)


def test_settings_that_an_architecture_does_not_have_are_left_out_of_its_trials(data) -> None:
    pytest.importorskip("optuna")
    space = {"network.elements": [2, 3], "network.hidden": [3, 5], "architecture": ["physically_recurrent", "gru"]}
    found = search(space, data, network={"layers": 1, "seed": 0}, train=QUICK, trials=6)
    settings = {"gru": {"hidden"}, "physically_recurrent": {"elements"}}
    kinds = [row.values["architecture"] for row in found.table]
    assert set(kinds) == set(settings)
    for kind, row in zip(kinds, found.table, strict=True):
        assert row.values.keys() - {"architecture"} == {f"network.{name}" for name in settings[kind]}
    fixed = {"gru": {"layers": 1}, "physically_recurrent": {"seed": 0}}[found.architecture]
    assert found.network.items() >= fixed.items()
    assert found.network.keys() == fixed.keys() | settings[found.architecture]


def test_a_search_without_a_trial_gets_a_sentence(data) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="at least one trial; got trials = 0"):
        search(SPACE, data, trials=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take_gets_a_sentence(data, seed) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match=f"from 0 to .*; got seed = {seed}"):
        search(SPACE, data, trials=1, seed=seed)


def test_trials_that_all_diverge_get_a_sentence(data) -> None:
    pytest.importorskip("optuna")
    wild = Dataset(data.time, data.strain, data.stress, data.card)
    with np.errstate(all="ignore"), pytest.raises(InputError, match="diverged"):
        search({"train.learning_rate": [1e38]}, wild, train=QUICK.model_copy(update={"clip": 1e30}), trials=1)


def test_a_trial_that_diverges_leaves_the_others_alone(data) -> None:
    pytest.importorskip("optuna")
    space, train = {"train.learning_rate": [1e38, 1e-2]}, QUICK.model_copy(update={"clip": 1e30})
    with np.errstate(all="ignore"):
        found = search(space, data, network={"hidden": 6}, train=train, trials=6)
    assert {row.outcome for row in found.table if row.values["train.learning_rate"] == 1e38} == {"diverged"}
    assert found.train.learning_rate == 1e-2


def test_a_missing_optuna_gets_a_sentence(data, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EnvironmentProblem, match=r"pointlaw\[search\]"):
        search(SPACE, data)
