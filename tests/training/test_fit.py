import copy
import math
import re

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Scaling, Units, feature_map, sample
from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.laws.audit import relative_errors
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.networks import (
    GRU,
    LSTM,
    FeedForward,
    Network,
    NeuralODE,
    PhysicallyRecurrent,
    SlipSystems,
    StandardMaterial,
)
from pointlaw.paths import StrainPath, gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import FitReport, TrainConfig, fit
from pointlaw.training.balance import Balance
from pointlaw.training.objective import Samples, objective, random_moments, refined
from pointlaw.training.report import draw_history


@pytest.fixture(scope="module")
def data() -> Dataset:
    path = gaussian_process(24, seed=0, steps=10, bound=0.01, kinematics=PLANE_STRAIN)
    return sample(PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), path)


def network(kind: type[Network] = LSTM, **config) -> Network:
    torch.manual_seed(0)
    return kind(features=3, outputs=3, **{"hidden": 8, **config})


QUICK = TrainConfig(epochs=6, batch=8, learning_rate=1e-2, subsample=0.3, tangent_weight=0.1)


def weights(net: Network) -> np.ndarray:
    return torch.cat([value.flatten() for value in net.state_dict().values()]).numpy()


def linear_error(report: FitReport) -> float:
    """Error of the best linear law on the validation paths: what any network has to beat."""
    strain, stress = report.training.strain[:, 1:], report.training.stress[:, 1:]
    stiffness = np.linalg.lstsq(strain.reshape(-1, 3), stress.reshape(-1, 3), rcond=None)[0]
    held = report.validation
    return float(relative_errors(held.strain[:, 1:] @ stiffness, held.stress[:, 1:]).mean())


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_recurrent_network_learns_plasticity_that_no_linear_law_describes(data, kind) -> None:
    report = fit(network(kind), data, QUICK.model_copy(update={"epochs": 80}))
    assert report.best.validation < 0.75 * linear_error(report)
    assert report.best.validation == min(epoch.validation for epoch in report.history)
    assert report.training.paths + report.validation.paths == data.paths


@pytest.mark.parametrize("kind", [NeuralODE, StandardMaterial])
def test_a_network_that_reads_the_time_step_beside_the_strain_is_trained(data, kind) -> None:
    torch.manual_seed(0)
    net = kind(features=4, outputs=3, viscous=True)
    before = weights(net)
    config = TrainConfig(epochs=2, batch=8, features=("strain", "dt"))
    report = fit(net, data, config)
    assert len(report.history) == 2
    assert math.isfinite(report.best.validation)
    assert not np.array_equal(weights(report.network), before)


def test_slip_with_a_small_exponent_learns_from_paths_that_rest_first(data) -> None:
    resting = np.concatenate([np.zeros((data.paths, 2, 3)), data.strain], axis=1)
    law = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0))
    longer = sample(law, StrainPath(np.arange(resting.shape[1], dtype=float), resting, PLANE_STRAIN))
    net = SlipSystems(features=3, outputs=3, systems=4, exponent=1.5, seed=0)
    report = fit(net, longer, TrainConfig(epochs=3, batch=8, learning_rate=1e-2, precision="float64"))
    assert len({epoch.validation for epoch in report.history}) == 3  # each epoch has changed the weights


class Steep(FeedForward):
    """A network whose gradient is finite in those calls in training only that are in ``good``."""

    def __init__(self, *, good: range, **named):
        super().__init__(**named)
        self.good, self.calls = good, 0

    def scan(self, x):
        y = super().scan(x)
        if self.training:
            self.calls += 1
        return y if not self.training or self.calls - 1 in self.good else y + (0.0 * self.head.prior.sum()).sqrt()


def test_batches_without_a_finite_gradient_are_counted(data, caplog) -> None:
    with caplog.at_level("WARNING", logger="pointlaw.training.fit"):
        fit(Steep(features=3, outputs=3, good=range(1, 3)), data, TrainConfig(epochs=1, batch=8))
    assert "epoch 0: 1 of 3 batches were skipped" in caplog.text


def test_an_epoch_that_teaches_nothing_ends_the_training_with_a_sentence(data) -> None:
    net = Steep(features=3, outputs=3, good=range(3))
    with pytest.raises(InputError, match=r"All 3 batches of epoch 1 .* learning_rate below 0.003 or precision='float6"):
        fit(net, data, TrainConfig(epochs=5, batch=8))


def test_a_feed_forward_network_learns_a_nonlinear_spring(data) -> None:
    spring = Dataset(data.time, data.strain, np.tanh(data.strain / 0.004), data.card)
    report = fit(network(FeedForward, hidden=[8, 8]), spring, TrainConfig(epochs=80, batch=8, learning_rate=1e-2))
    assert report.best.validation < 0.6 * linear_error(report)


def test_the_same_seed_gives_the_same_weights(data) -> None:
    first, second = (fit(network(), data, QUICK).network for _ in range(2))
    np.testing.assert_array_equal(weights(first), weights(second))
    other = fit(network(), data, QUICK.model_copy(update={"seed": 1})).network
    assert not np.array_equal(weights(first), weights(other))


def test_a_killed_training_resumes_to_the_same_weights(data, tmp_path) -> None:
    config = QUICK.model_copy(update={"checkpoint_every": 2})
    whole = fit(network(), data, config)

    def kill(epoch) -> None:
        if epoch.number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(network(), data, config, checkpoint=tmp_path / "run.pt", callback=kill)
    resumed = fit(network(), data, config, checkpoint=tmp_path / "run.pt")
    np.testing.assert_array_equal(weights(whole.network), weights(resumed.network))
    assert [e.validation for e in resumed.history] == [e.validation for e in whole.history]


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path) -> None:
    fit(network(), data, TrainConfig(epochs=1), checkpoint=tmp_path / "run.pt")
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        fit(network(), data, TrainConfig(epochs=2), checkpoint=tmp_path / "run.pt")
    other = Scaling.fit(data.subset(slice(3)))
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        fit(network(), data, TrainConfig(epochs=1), scaling=other, checkpoint=tmp_path / "run.pt")
    stiffer = Dataset(**data.arrays, card=data.card.model_copy(update={"stiffness": np.eye(3).tolist()}))
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        fit(network(), stiffer, TrainConfig(epochs=1), checkpoint=tmp_path / "run.pt")
    (tmp_path / "run.pt").write_bytes(b"rest of a checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        fit(network(), data, TrainConfig(epochs=1), checkpoint=tmp_path / "run.pt")


def test_a_checkpoint_that_began_with_other_weights_is_refused(data, tmp_path) -> None:
    """Two trained networks of one kind, as two law files hold them."""
    first, second = (fit(network(), data, TrainConfig(epochs=1, learning_rate=rate)).network for rate in (0.01, 0.02))
    config, start = TrainConfig(epochs=2, checkpoint_every=1), copy.deepcopy(first)
    fit(first, data, config, checkpoint=tmp_path / "run.pt", callback=lambda epoch: True)
    with pytest.raises(InputError, match="began with other weights"):
        fit(second, data, config, checkpoint=tmp_path / "run.pt")
    assert len(fit(start, data, config, checkpoint=tmp_path / "run.pt").history) == 2


def test_training_stops_when_nothing_gets_better(data) -> None:
    # A rate this small changes nothing, so the first epoch stays the best.
    report = fit(network(), data, TrainConfig(epochs=50, patience=3, learning_rate=1e-12))
    assert len(report.history) <= 8
    assert "no better epoch in 3 epochs" in report.stopped


def test_the_callback_sees_every_epoch_and_can_stop(data) -> None:
    seen = []
    report = fit(network(), data, QUICK, callback=lambda epoch: (seen.append(epoch), epoch.number == 2)[1])
    assert seen == report.history
    assert len(seen) == 3
    assert "callback" in report.stopped


def test_the_prior_starts_with_the_least_squares_stiffness(data) -> None:
    linear = Dataset(data.time, data.strain, data.strain @ np.diag([3.0, 2.0, 1.0]), data.card)
    report = fit(network(), linear, TrainConfig(epochs=1, learning_rate=1e-12))
    scaling = Scaling.fit(report.training)
    prior = report.network.head.prior.detach().numpy()
    stiffness = np.diag(scaling.stress) @ prior @ np.diag(1 / np.array(scaling.strain))
    np.testing.assert_allclose(stiffness, np.diag([3.0, 2.0, 1.0]), rtol=1e-5, atol=1e-5)


def test_the_objective_is_the_relative_error_of_stress_and_of_tangent(data) -> None:
    """A linear network on data of a linear law whose stress is 1 % and whose tangent is 4 % larger than its own."""
    stiffness = np.diag([3.0, 2.0, 1.0])
    linear = Dataset(
        data.time, data.strain, data.strain @ stiffness / 0.99, data.card,
        tangent=np.tile(stiffness / 0.96, (data.paths, data.times, 1, 1)),
    )  # fmt: skip
    net, samples = linear_network(stiffness, linear)
    rows, rng = torch.arange(data.paths), torch.Generator().manual_seed(0)
    for weight in (0.0, 0.5):
        config = TrainConfig(tangent_weight=weight)
        loss = Balance(config.weights, "fixed")(objective(net, samples, rows, config, rng))
        assert loss.item() == pytest.approx(0.01 + weight * 0.04, rel=1e-4)
    for config in (TrainConfig(subsample=1.0), TrainConfig(refine=1.0)):
        assert objective(net, samples, rows, config, rng)["stress"].item() == pytest.approx(0.01, rel=1e-4)


def linear_network(stiffness, dataset):
    """Return a network that answers with ``stiffness``, and ``dataset`` as it sees it."""
    scaling = Scaling.fit(dataset)
    net = network()
    with torch.no_grad():
        net.head.weight.zero_()
        matrix = np.diag(1 / np.array(scaling.stress)) @ stiffness @ np.diag(scaling.strain)
        net.head.prior.copy_(torch.tensor(matrix, dtype=torch.float32))
    features = feature_map(("strain",), scaling)
    return net, Samples.of(dataset, features, scaling.stress, torch.device("cpu"), torch.float32)


def test_the_first_step_counts_once_more_if_it_is_asked_to(data) -> None:
    """A linear network on data whose first step alone is 2 % stiffer, which the norm of a path hardly sees."""
    stiffness = np.diag([3.0, 2.0, 1.0])
    stress = data.strain @ stiffness
    stress[:, 1] /= 0.98
    net, samples = linear_network(stiffness, Dataset(data.time, data.strain, stress, data.card))
    rows, rng = torch.arange(data.paths), torch.Generator().manual_seed(0)
    terms = objective(net, samples, rows, TrainConfig(rest_weight=0.3), rng)
    assert terms["rest"].item() == pytest.approx(0.02, rel=1e-3)
    assert terms["stress"].item() < 0.005
    assert "rest" not in objective(net, samples, rows, TrainConfig(), rng)


def test_what_does_not_fit_gets_a_sentence(data) -> None:
    with pytest.raises(InputError, match="features=7"):
        fit(network(), data, TrainConfig(features=("strain", "increment", "dt")))
    bare = Dataset(data.time, data.strain, data.stress, data.card)
    with pytest.raises(InputError, match="needs a dataset with 'tangent'"):
        fit(network(), bare, QUICK)
    solid = sample(LinearElastic(E=1.0, nu=0.3), gaussian_process(2, seed=0, steps=3, bound=0.01))
    with pytest.raises(InputError, match="those of validation small_strain_3d"):
        fit(network(), data, validation=solid)
    other = Dataset(**data.arrays, card=data.card.model_copy(update={"units": Units(stress="Pa")}))
    with pytest.raises(InputError, match=r"those of validation \(stress Pa"):
        fit(network(), data, validation=other)


@pytest.mark.parametrize("kind", [LSTM, PhysicallyRecurrent])
def test_paths_that_all_stay_undeformed_teach_nothing_and_are_refused(data, kind) -> None:
    rest = Dataset(data.time, 0.0 * data.strain, 0.0 * data.stress, data.card)
    with pytest.raises(InputError, match="None of the 24 training paths leaves the undeformed body"):
        fit(kind(features=3, outputs=3), rest, validation=data)


def test_without_a_gpu_training_on_one_gets_a_sentence_and_auto_takes_the_cpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="finds no GPU"):
        _ = TrainConfig(device="cuda").chosen_device
    assert TrainConfig(device="auto").chosen_device == torch.device("cpu")


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"tangent_weight": math.inf}, {"epochs": 0}, {"device": "gpu"}])
def test_settings_that_cannot_be_used_are_refused_by_name(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


def test_sub_sampled_moments_increase_start_at_zero_and_hold_some_steps() -> None:
    rng = torch.Generator().manual_seed(0)
    moments = random_moments(200, 41, 0.2, rng)
    assert (moments[:, 0] == 0).all()
    assert (moments.diff(dim=1) >= 0).all()
    assert moments.max() <= 40
    assert 0.1 < (moments.diff(dim=1) == 0).float().mean() < 0.5
    assert moments.diff(dim=1).max() >= 5  # coarse steps occur, and so do single ones
    assert (moments.diff(dim=1) == 1).any()


def test_the_report_is_drawn(data, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    draw_history(fit(network(), data, TrainConfig(epochs=2)), tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


class Spring(Network):
    """Stress of the energy ½ k x·x, with one stiffness to find; it stores all of its work, or none (``plastic``)."""

    architecture, scaling = "spring", "physical"

    def __init__(self, *, plastic: bool = False):
        super().__init__(features=3, outputs=3, state_sizes={}, config={"plastic": plastic})
        self.k, self.plastic = torch.nn.Parameter(torch.tensor(1.0)), plastic

    def step(self, x, state):
        return self.k * x, state

    def energy(self, x):
        return (0.0 if self.plastic else 0.5) * self.k * (x * x).sum(1) + 7.0  # a constant does not matter


def elastic(data: Dataset, *, plastic: bool = False) -> Dataset:
    """Stress 2 ε and its whole work, as stored or as dissipated energy."""
    work, none = (data.strain**2).sum(2), np.zeros(data.strain.shape[:2])
    energy = {"energy": none, "dissipation": work} if plastic else {"energy": work, "dissipation": none}
    return Dataset(data.time, data.strain, 2.0 * data.strain, data.card, **energy)


@pytest.mark.parametrize("plastic", [False, True])
def test_energy_and_dissipation_are_met_by_the_network_whose_work_is_right(data, plastic) -> None:
    """The right stiffness has no error in any term, one that is 10 % off has 10 % in stress and in the work."""
    data = elastic(data, plastic=plastic)
    scaling = Scaling.fit(data, "physical")
    samples = Samples.of(data, feature_map(("strain",), scaling), scaling.stress, torch.device("cpu"), torch.float64)
    config, rng = TrainConfig(energy_weight=1.0, dissipation_weight=1.0), torch.Generator()
    net, rows = Spring(plastic=plastic).double(), torch.arange(data.paths)
    term = "dissipation" if plastic else "energy"
    for factor in (1.0, 1.1):
        with torch.no_grad():
            net.k.fill_(factor * 2.0 / scaling.stress[0])
        terms = objective(net, samples, rows, config, rng)
        assert list(terms) == ["stress", "energy", "dissipation"]
        for name in ("stress", term):
            assert terms[name].item() == pytest.approx(factor - 1.0, abs=1e-6)


def test_an_energy_alone_teaches_the_stiffness(data) -> None:
    config = TrainConfig(epochs=80, energy_weight=5.0, learning_rate=20.0, precision="float64", balance="uncertainty")
    report = fit(Spring(), elastic(data), config)
    assert report.best.validation < 0.01
    assert set(report.history[-1].terms) == {"stress", "energy"}


def test_energies_need_data_with_them_and_a_network_that_knows_them(data) -> None:
    config = TrainConfig(epochs=1, energy_weight=1.0)
    with pytest.raises(InputError, match="needs a dataset with 'energy'"):
        fit(Spring(), data, config)
    with pytest.raises(InputError, match="a LSTM does not"):
        fit(network(), elastic(data), config)


def test_balanced_terms_count_by_what_they_can_still_lose_of_themselves() -> None:
    """The gradient of each term is that of its logarithm, up to one common factor and its importance."""
    balance = Balance({"tangent": 0.5}, "uncertainty")
    stress, tangent = torch.tensor(0.01, requires_grad=True), torch.tensor(4.0, requires_grad=True)
    balance({"stress": stress, "tangent": tangent}).backward()
    assert tangent.grad.item() * tangent.item() == pytest.approx(0.5 * stress.grad.item() * stress.item())
    fixed = Balance({"tangent": 0.5}, "fixed")
    assert fixed({"stress": stress, "tangent": tangent}).item() == pytest.approx(2.01)


def test_a_batch_that_explodes_leaves_the_balance_alone() -> None:
    balance = Balance({}, "uncertainty")
    balance({"stress": torch.tensor(1.0), "tangent": torch.tensor(2.0)})
    balance({"stress": torch.tensor(float("nan")), "tangent": torch.tensor(float("inf"))})
    assert balance.means == {"stress": 1.0, "tangent": 2.0}


def test_refined_values_keep_the_old_ones_and_lie_evenly_between_them() -> None:
    values = torch.tensor([[[0.0, 1.0], [3.0, 4.0], [3.0, 1.0]]])
    fine = refined(values, 3)
    assert torch.equal(fine[:, ::3], values)
    torch.testing.assert_close(fine.diff(dim=1)[0, :, 0], torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))


def test_a_balanced_run_resumes_to_the_same_weights(data, tmp_path) -> None:
    config = QUICK.model_copy(update={"checkpoint_every": 1, "epochs": 4, "balance": "uncertainty", "refine": 0.3})
    whole = fit(network(), data, config)
    fit(network(), data, config, checkpoint=tmp_path / "run.pt", callback=lambda epoch: epoch.number == 1)
    resumed = fit(network(), data, config, checkpoint=tmp_path / "run.pt")
    np.testing.assert_array_equal(weights(whole.network), weights(resumed.network))


def test_what_is_frozen_stays_and_may_be_trained_again_afterwards(data) -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit(net, data, QUICK.model_copy(update={"freeze": ("cells.*",)}))
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.weight", "head.prior"}
    assert all(value.requires_grad for name, value in net.named_parameters() if name != "head.bias")


@pytest.mark.parametrize(
    ("freeze", "sentence"), [(("cell.*",), "'cell.*' matches no parameter"), (("*",), "leaves no parameter of LSTM")]
)
def test_freezing_nothing_or_everything_gets_a_sentence(data, freeze, sentence) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        fit(network(), data, TrainConfig(epochs=1, freeze=freeze))
