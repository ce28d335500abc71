import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Scaling, sample
from pointlaw.errors import InputError
from pointlaw.laws import load_law, make_law, save_law
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import GRU, LSTM, PhysicallyRecurrent, TwoFidelity
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_network
from pointlaw.training import ReptileConfig, TrainConfig, fit, reptile, start_from

QUICK = TrainConfig(epochs=3, batch=8, learning_rate=1e-2)


def steel(E: float = 210e3, yield_stress: float = 250.0, *, paths: int = 16, seed: int = 0) -> Dataset:
    path = gaussian_process(paths, seed=seed, steps=10, bound=0.01, kinematics=PLANE_STRAIN)
    return sample(PlaneStrain(J2(E=E, nu=0.3, yield_stress=yield_stress, H=2000.0)), path, teacher=f"steel {E:g}")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return steel()


def network(kind=GRU, seed: int = 0, **config):
    torch.manual_seed(seed)
    return kind(features=3, outputs=3, **{"hidden": 8, **config})


@pytest.fixture(scope="module")
def law(data, tmp_path_factory):
    report = fit(network(), data, QUICK.model_copy(update={"epochs": 60}))
    law = make_law(report.network, report.scaling, name="steel", training=report.training, kept_back=steel(seed=1))
    path = tmp_path_factory.mktemp("laws") / "steel.safetensors"
    save_law(path, law)
    return path


def test_a_training_begins_where_the_law_file_ended(law, data) -> None:
    start = start_from(law)
    still = QUICK.model_copy(update={"learning_rate": 1e-12, "precision": "float64"})
    report = fit(start.network, data, still, scaling=start.scaling)
    answer = load_law(law)
    state, stress = answer.initial_state(data.paths), []
    for strain in data.strain[:, 1:].swapaxes(0, 1):
        reply = answer.update(strain, state, 0.1)
        state = reply.state
        stress.append(reply.stress)
    x = torch.tensor((data.strain[:, 1:]) / np.array(start.scaling.strain))
    scanned = start.scaling.undo(report.network.double().scan(x).detach().numpy())
    np.testing.assert_allclose(scanned, np.stack(stress, 1), rtol=1e-6, atol=1e-6)


def test_a_start_can_be_trained_though_a_loaded_law_is_held_fixed(law, data) -> None:
    start = start_from(law)
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    fit(start.network, data, QUICK.model_copy(update={"freeze": ("cells.*",)}), scaling=start.scaling)
    moved = {name for name, value in start.network.state_dict().items() if not torch.equal(before[name], value)}
    assert moved == {"head.weight", "head.prior"}


def test_a_start_that_knows_the_material_needs_fewer_epochs_than_a_fresh_network(law) -> None:
    softer = steel(yield_stress=230.0, seed=2)
    start = start_from(law)
    known = fit(start.network, softer, QUICK, scaling=start.scaling).best.validation
    assert known < 0.7 * fit(network(), softer, QUICK).best.validation


def test_reptile_comes_nearer_to_a_member_that_it_has_not_seen() -> None:
    family = [steel(E, seed=k) for k, E in enumerate((180e3, 240e3))]
    new, held = steel(210e3, seed=5), steel(210e3, seed=6)
    start = reptile(network(), family, ReptileConfig(rounds=100, inner_steps=5, inner_rate=1e-2))
    near = fit(start.network, new, QUICK, scaling=start.scaling, validation=held).best.validation
    assert near < 0.8 * fit(network(), new, QUICK, validation=held).best.validation


def elements(seed: int = 0) -> PhysicallyRecurrent:
    return PhysicallyRecurrent(features=3, outputs=3, elements=6, seed=seed)


def stiffness_of(start, scaling: Scaling) -> np.ndarray:
    """Return the tangent at rest ``[m, m]`` of a network, unit of stress."""
    return np.array(scaling.stress)[:, None] * start.stiffness().detach().double().numpy()


def without_stiffness(dataset: Dataset) -> Dataset:
    return Dataset(**dataset.arrays, card=dataset.card.model_copy(update={"stiffness": None}))


FEW = ReptileConfig(rounds=3, inner_steps=2, inner_rate=1e-2)


def test_after_reptile_a_member_of_known_stiffness_is_learned_with_that_stiffness() -> None:
    start = reptile(elements(), [steel(100e3), steel(200e3, seed=1)], FEW)
    assert start.network.root.requires_grad
    new = steel(400e3, seed=2)
    report = fit(start.network, new, QUICK, scaling=start.scaling)
    np.testing.assert_allclose(stiffness_of(report.network, start.scaling), new.card.stiffness, rtol=1e-6, atol=0.1)


def test_reptile_holds_the_stiffness_of_its_family_and_a_member_without_one_learns_its_own(data) -> None:
    start = reptile(elements(), [data, steel(seed=1)], FEW)
    known = data.card.stiffness
    np.testing.assert_allclose(stiffness_of(start.network, start.scaling), known, rtol=1e-6, atol=0.1)
    report = fit(start.network, without_stiffness(steel(150e3, seed=2)), QUICK, scaling=start.scaling)
    assert abs(stiffness_of(report.network, start.scaling)[0, 0] / known[0][0] - 1.0) > 0.01


@pytest.fixture(scope="module")
def stiff_law(data, tmp_path_factory):
    report = fit(elements(), data, QUICK)
    law = make_law(report.network, report.scaling, name="steel", training=report.training, kept_back=steel(seed=1))
    path = tmp_path_factory.mktemp("laws") / "elements.safetensors"
    save_law(path, law)
    return path


@pytest.mark.parametrize("E", [210e3, 150e3])
def test_a_start_from_a_law_file_holds_the_stiffness_that_its_data_know(stiff_law, E) -> None:
    start, new = start_from(stiff_law), steel(E, seed=4)
    report = fit(start.network, new, QUICK, scaling=start.scaling)
    np.testing.assert_allclose(stiffness_of(report.network, start.scaling), new.card.stiffness, rtol=1e-6, atol=0.1)


def test_a_start_from_a_law_file_learns_the_stiffness_that_its_data_do_not_know(stiff_law, data) -> None:
    start = start_from(stiff_law)
    report = fit(start.network, without_stiffness(steel(150e3, seed=4)), QUICK, scaling=start.scaling)
    moved = stiffness_of(report.network, start.scaling)[0, 0] / data.card.stiffness[0][0]
    assert 0.7 < moved < 0.99


@pytest.mark.parametrize("pattern", ["root", "r*"])
def test_a_frozen_stiffness_stays_that_of_the_law_file_whatever_the_data_know(stiff_law, data, pattern) -> None:
    start = start_from(stiff_law)
    still = QUICK.model_copy(update={"freeze": (pattern,)})
    report = fit(start.network, steel(150e3, seed=4), still, scaling=start.scaling)
    C = stiffness_of(report.network, start.scaling)
    np.testing.assert_allclose(C, data.card.stiffness, rtol=1e-6, atol=0.1)


def test_a_killed_training_from_a_law_file_goes_on_as_if_nothing_had_been(stiff_law, tmp_path) -> None:
    new, config = steel(150e3, seed=4), QUICK.model_copy(update={"checkpoint_every": 1})

    def run(**options) -> dict[str, torch.Tensor]:
        start = start_from(stiff_law)
        return fit(start.network, new, config, scaling=start.scaling, **options).network.state_dict()

    whole = run()
    run(checkpoint=tmp_path / "run.pt", callback=lambda epoch: epoch.number == 1)
    resumed = run(checkpoint=tmp_path / "run.pt")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_reptile_is_deterministic(data) -> None:
    config = ReptileConfig(rounds=4, inner_steps=2)
    first, second = (reptile(network(), [data, steel(seed=1)], config).network.state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_with_one_member_and_full_steps_reptile_is_plain_training_in_rounds(data) -> None:
    """The whole way towards the member's weights, taken once, are these weights: the loss falls as in training."""
    losses: list[float] = []
    config = ReptileConfig(rounds=20, inner_steps=5, batch=16, inner_rate=3e-3)
    reptile(network(), [data], config, callback=lambda number, loss: losses.append(loss))
    assert len(losses) == 20
    assert losses[-1] < 0.9 * losses[0]


def test_the_callback_of_reptile_can_stop(data) -> None:
    seen: list[int] = []
    reptile(network(), [data], callback=lambda number, loss: (seen.append(number), number == 2)[1])
    assert seen == [0, 1, 2]


def test_reptile_that_was_killed_goes_on_as_if_nothing_had_been(data, tmp_path) -> None:
    family, path = [data, steel(240e3, seed=1)], tmp_path / "reptile.pt"
    config, train = ReptileConfig(rounds=10, inner_steps=2), TrainConfig(checkpoint_every=2)
    first, then = [], []

    def kill(number, loss) -> None:
        if number == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reptile(network(), family, config, train=train, checkpoint=path, callback=kill)
    whole = reptile(network(), family, config, train=train, callback=lambda *told: first.append(told))
    resumed = reptile(network(), family, config, train=train, checkpoint=path, callback=lambda *told: then.append(told))
    assert then == first[5:]  # round 5 was the last one written
    second = resumed.network.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in whole.network.state_dict().items())
    again = reptile(network(), family, config, train=train, checkpoint=path).network.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in again.items())


def test_the_checkpoint_of_another_family_or_configuration_is_refused(data, tmp_path) -> None:
    config, path = ReptileConfig(rounds=2, inner_steps=1), tmp_path / "reptile.pt"
    reptile(network(), [data], config, checkpoint=path)
    others = (
        ([data, data], config, TrainConfig()),
        ([data], ReptileConfig(rounds=3, inner_steps=1), TrainConfig()),
        ([data], config, TrainConfig(seed=1)),
    )
    for family, settings, train in others:
        with pytest.raises(InputError, match="another network, dataset or configuration"):
            reptile(network(), family, settings, train=train, checkpoint=path)
    with pytest.raises(InputError, match="began with other weights"):
        reptile(network(seed=1), [data], config, checkpoint=path)
    with pytest.raises(InputError, match="another network, dataset or configuration"):
        fit(network(), data, QUICK, checkpoint=path)


def test_a_family_needs_members_that_fit() -> None:
    with pytest.raises(InputError, match="the list is empty"):
        reptile(network(), [])
    with pytest.raises(InputError, match="features=3"):
        reptile(GRU(features=6, outputs=6, hidden=4), [steel()])


def test_a_correction_begins_as_the_cheap_network_and_leaves_it_as_it_is(data) -> None:
    low = network(LSTM)
    pair = TwoFidelity.correct(low, hidden=6)
    x = torch.randn(2, 5, 3)
    assert torch.equal(pair.scan(x), low.scan(x))
    before = {name: value.clone() for name, value in low.state_dict().items()}
    scaling = Scaling.fit(data)
    fit(pair, data, QUICK.model_copy(update={"freeze": ("low.*",)}), scaling=scaling)
    for name, value in pair.low.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(pair.scan(x), low.scan(x))


def test_a_trained_pair_keeps_the_contract_and_goes_into_one_law_file(data, tmp_path) -> None:
    low = fit(network(), data, QUICK)
    pair = TwoFidelity.correct(low.network, architecture="lstm", hidden=6)
    report = fit(pair, steel(190e3), QUICK, scaling=low.scaling)
    check_network(report.network).raise_if_failed()
    law = make_law(report.network, low.scaling, name="pair", training=report.training, kept_back=steel(190e3, seed=3))
    save_law(tmp_path / "pair.safetensors", law)
    again = load_law(tmp_path / "pair.safetensors")
    strain = 0.005 * np.random.default_rng(0).standard_normal((4, 3))
    first, second = (material.update(strain, material.initial_state(4), 0.1) for material in (law, again))
    np.testing.assert_array_equal(first.stress, second.stress)
    np.testing.assert_allclose(first.tangent, second.tangent, rtol=1e-12)


def test_parts_that_need_other_scales_are_refused() -> None:
    class Physical(GRU):
        scaling = "physical"

    from pointlaw.networks import NETWORKS

    NETWORKS["physical"] = Physical
    try:
        with pytest.raises(InputError, match="have scales for each component"):
            TwoFidelity(features=3, outputs=3, low={"architecture": "physical", "config": {"hidden": 4}})
    finally:
        del NETWORKS["physical"]
