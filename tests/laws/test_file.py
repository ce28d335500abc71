import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from pointlaw.errors import InputError, LawFileError
from pointlaw.laws import LearnedMaterial, load_law, load_torchscript, make_law, read_card, save_law, write_card
from pointlaw.laws.file import seal
from pointlaw.networks import LSTM, NETWORKS, Network


@pytest.fixture
def file(law: LearnedMaterial, tmp_path: Path) -> Path:
    save_law(tmp_path / "law.safetensors", law)
    return tmp_path / "law.safetensors"


def weights_of(law: LearnedMaterial) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in law.network.state_dict().items()}


def refused(path: Path, match: str) -> None:
    with pytest.raises(LawFileError, match=match) as caught:
        load_law(path)
    assert len(str(caught.value)) > 20


def test_a_loaded_law_answers_exactly_like_the_saved_one(law, file, rng) -> None:
    loaded = load_law(file)
    assert loaded.card == law.card
    strain = rng.normal(0, 0.005, (20, 3))
    state, other = law.initial_state(20), loaded.initial_state(20)
    for factor in (0.5, 1.0):
        mine, theirs = law.update(factor * strain, state, 0.1), loaded.update(factor * strain, other, 0.1)
        np.testing.assert_array_equal(mine.stress, theirs.stress)
        np.testing.assert_array_equal(mine.tangent, theirs.tangent)
        np.testing.assert_array_equal(mine.state, theirs.state)
        state, other = mine.state, theirs.state


def test_saving_twice_gives_the_same_bytes(law, file, tmp_path) -> None:
    save_law(tmp_path / "again.safetensors", load_law(file))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_the_file_can_be_read_without_us(law, file) -> None:
    with safetensors.safe_open(file, framework="numpy") as opened:
        assert json.loads(opened.metadata()["card"])["kinematics"] == "plane_strain"
        weight = opened.get_tensor("head.weight")
    np.testing.assert_array_equal(weight, law.network.state_dict()["head.weight"].numpy())


def test_the_card_can_be_read_without_building_the_law(law, file) -> None:
    assert read_card(file) == law.card


def test_missing_file_is_named(tmp_path) -> None:
    refused(tmp_path / "none.safetensors", "There is no law file at .*none.safetensors")


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1, -1000])
def test_a_truncated_file_is_refused(file, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    refused(file, "truncated")


def test_a_file_that_was_extended_is_refused(file) -> None:
    file.write_bytes(file.read_bytes() + b"\0")
    refused(file, "damaged")


def test_every_flipped_bit_is_found(file) -> None:
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    # Every bit of the length and of the seal, and one bit of every byte of the rest of the header and of some weights.
    seal_at = content.index(b'"seal"')
    bits = [8 * byte + bit for byte in (*range(8), *range(seal_at, seal_at + 75)) for bit in range(8)]
    bits += [8 * byte + byte % 8 for byte in range(8, header)]
    bits += [8 * byte + byte % 8 for byte in range(header, len(content), 97)]
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(LawFileError):
            load_law(file)
    file.write_bytes(content)
    load_law(file)


def test_not_a_safetensors_file_is_refused(tmp_path) -> None:
    path = tmp_path / "law.safetensors"
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    refused(path, "safetensors")


def test_weights_without_a_card_are_refused(law, tmp_path) -> None:
    path = tmp_path / "law.safetensors"
    safetensors.torch.save_file(weights_of(law), path)
    refused(path, "has no card")


def header(content: bytes) -> bytes:
    """A file that is nothing but a header."""
    return len(content).to_bytes(8, "little") + content


@pytest.mark.parametrize(
    "content",
    [
        *(b'{"a": {"data_offsets": [0, %b]}}' % end for end in (b'"x"', b"null", b"1.5", b"1e999", b"[1]")),
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_a_header_that_is_no_header_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "law.safetensors"
    path.write_bytes(header(content))
    refused(path, "header of .* is damaged")


def test_a_card_of_nothing_but_brackets_is_refused(tmp_path) -> None:
    path = tmp_path / "card.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(LawFileError, match=r"card of .* cannot be used"):
        read_card(path)


def resealed(law: LearnedMaterial, path: Path, **changes) -> Path:
    """A file with another card and a right seal: only its meaning is wrong."""
    card = {**json.loads(law.card.model_dump_json()), **changes}
    path.write_bytes(seal(weights_of(law), json.dumps(card)))
    return path


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "format version 2"),
        ({"architecture": "transformer"}, "'transformer' is unknown"),
        ({"architecture": "gru"}, "do not fit"),
        ({"config": {"features": 3, "outputs": 3, "hidden": 9}}, "do not fit"),
        ({"config": {"neurons": 3}}, "does not build"),
        ({"kinematics": "plane"}, "'plane' is unknown"),
        ({"kinematics": "uniaxial"}, "components"),
        ({"features": ["temperature"]}, "features"),
        ({"features": ["strain", "dt"]}, "takes 3 features"),
        ({"scaling": None}, "scaling"),
        ({"figures": None}, "figures"),
        ({"note": "x"}, "note"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(law, tmp_path, changes: dict, match: str) -> None:
    refused(resealed(law, tmp_path / "law.safetensors", **changes), match)


@pytest.mark.parametrize("name", ["strain", "stress", "tangent"])
def test_a_probe_with_rows_of_different_length_is_refused(law, tmp_path, name: str) -> None:
    answer = json.loads(law.card.probe.model_dump_json())
    answer[name][-1].append(0.0)
    refused(resealed(law, tmp_path / "law.safetensors", probe=answer), f"probe: .*rows of {name} differ in length")


def test_an_envelope_of_other_strains_is_refused(law, tmp_path) -> None:
    envelope = json.loads(law.card.envelope.model_dump_json()) | {"strain_max": [1.0]}
    refused(resealed(law, tmp_path / "law.safetensors", envelope=envelope), "envelope has 1 components")


def test_a_card_of_other_weights_is_found_by_the_probe(law, tmp_path) -> None:
    weights = weights_of(law)
    weights["cells.0.weight_h"] *= 1.01
    path = tmp_path / "law.safetensors"
    path.write_bytes(seal(weights, law.card.model_dump_json()))
    refused(path, "answers its probe with another stress")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(law, tmp_path, value: float) -> None:
    weights = weights_of(law)
    weights["head.weight"][0, 0] = value
    path = tmp_path / "law.safetensors"
    path.write_bytes(seal(weights, law.card.model_dump_json()))
    refused(path, "not finite: 'head.weight'")


class Counted(LSTM):
    """A network of one's own that also keeps a whole number and one of another precision."""

    architecture = "counted"

    def __init__(self, **settings):
        super().__init__(**settings)
        self.register_buffer("a_count", torch.tensor(7))
        self.register_buffer("z_fine", torch.tensor(1.0 / 3.0, dtype=torch.float64))


@pytest.mark.parametrize("first", ["a_count", "head.weight", "z_fine"])
def test_the_order_in_which_weights_are_read_makes_no_difference(law, tmp_path, monkeypatch, first: str) -> None:
    monkeypatch.setitem(NETWORKS, "counted", Counted)
    network = Counted(**law.network.config)
    network.load_state_dict(law.network.state_dict(), strict=False)
    card = law.card.model_copy(update={"architecture": "counted"})
    save_law(tmp_path / "law.safetensors", LearnedMaterial(network, card))
    load = safetensors.torch.load

    def shuffled(content: bytes) -> dict[str, torch.Tensor]:
        tensors = load(content)
        return {first: tensors.pop(first), **tensors}

    monkeypatch.setattr(safetensors.torch, "load", shuffled)
    read = load_law(tmp_path / "law.safetensors").network.state_dict()
    assert read.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(read[name], value.to(read[name].dtype)), name
    assert (read["a_count"].dtype, read["z_fine"].dtype) == (torch.int64, torch.float64)


def test_of_several_weights_that_are_not_finite_the_same_one_is_named_every_time(law, tmp_path) -> None:
    weights = {name: torch.full_like(value, float("nan")) for name, value in weights_of(law).items()}
    path = tmp_path / "law.safetensors"
    path.write_bytes(seal(weights, law.card.model_dump_json()))
    for _ in range(5):
        refused(path, f"not finite: '{min(weights)}'")


def test_a_law_with_nan_cannot_be_saved(law, tmp_path) -> None:
    network = type(law.network)(**law.network.config)
    with torch.no_grad():
        network.head.weight.fill_(float("nan"))
    with pytest.raises(LawFileError, match="not finite"):
        save_law(tmp_path / "law.safetensors", LearnedMaterial(network, law.card))
    assert list(tmp_path.iterdir()) == []


class Edge(Network):
    """A spring that ends where the first scaled feature leaves the interval from ``low`` to 0.3: NaN there."""

    architecture = "edge"

    def __init__(self, *, features: int, outputs: int, low: float = -9.0):
        config = {"features": features, "outputs": outputs, "low": low}
        super().__init__(features=features, outputs=outputs, state_sizes={}, config=config)
        self.spring = torch.nn.Linear(features, outputs, bias=False)
        torch.nn.init.eye_(self.spring.weight)
        self.low = low

    def step(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = torch.sqrt(0.3 - x[:, :1]) * torch.sqrt(x[:, :1] - self.low)
        return self.spring(x) + 0.0 * inside, state


@pytest.fixture
def edge(law, paths, monkeypatch):
    """Return a function that makes a law of an :class:`Edge` on kept-back paths of its own choice."""
    monkeypatch.setitem(NETWORKS, "edge", Edge)
    training, kept_back = paths

    def make(rows, **settings) -> LearnedMaterial:
        network = Edge(features=3, outputs=3, **settings)
        kept = kept_back.subset(rows)
        return make_law(network, law.card.scaling, name="edge", training=training, kept_back=kept)

    def ends(data) -> np.ndarray:
        """Whether each path goes beyond the edge."""
        return data.strain[..., 0].max(axis=1) > 0.3 * law.card.scaling.strain[0]

    make.beyond = np.flatnonzero(ends(kept_back))
    make.within = np.flatnonzero(~ends(kept_back))
    return make


def test_the_probe_is_a_path_with_finite_answers(edge, tmp_path) -> None:
    made = edge([edge.beyond[0], edge.within[0]])
    assert made.card.figures.failed > 0
    save_law(tmp_path / "law.safetensors", made)
    assert load_law(tmp_path / "law.safetensors").card.probe == made.card.probe


def test_a_law_that_answers_no_kept_back_path_is_not_made(edge) -> None:
    with pytest.raises(InputError, match=r"The law 'edge' answers each of the \d+ kept-back paths with"):
        edge(edge.beyond)


def test_a_law_that_could_not_be_read_again_is_not_written(law, edge, tmp_path) -> None:
    made = edge([edge.within[0]])
    nowhere = LearnedMaterial(Edge(features=3, outputs=3, low=0.2), made.card)
    with pytest.raises(LawFileError, match="The law 'edge' answers zero strain with numbers that are not finite"):
        save_law(tmp_path / "law.safetensors", nowhere)
    moved = law.card.model_copy(update={"probe": made.card.probe})
    with pytest.raises(LawFileError, match="The law 'small' answers its probe with another stress"):
        save_law(tmp_path / "law.safetensors", LearnedMaterial(law.network, moved))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(law, file, monkeypatch) -> None:
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"law.safetensors cannot be written: No space left"):
        save_law(file, law)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


class Own(torch.nn.Module):
    """A user's own module: a spring that stiffens, so that it reaches any stress, with a memory of the mean strain."""

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.sinh() + 0.1 * state, state + x.mean(1, keepdim=True)


@pytest.fixture(scope="module")
def own_files(paths, law, tmp_path_factory) -> Path:
    training, kept_back = paths
    folder = tmp_path_factory.mktemp("own")
    torch.jit.script(Own()).save(str(folder / "own.pt"))
    module = torch.jit.load(str(folder / "own.pt"))
    made = make_law(
        module, law.card.scaling, name="own", training=training, kept_back=kept_back, config={"state_size": 1}
    )
    write_card(folder / "own.json", made.card)
    return folder


@pytest.fixture
def own(own_files, tmp_path) -> tuple[Path, Path, str]:
    shutil.copytree(own_files, tmp_path, dirs_exist_ok=True)
    digest = hashlib.sha256((tmp_path / "own.pt").read_bytes()).hexdigest()
    return tmp_path / "own.pt", tmp_path / "own.json", digest


def test_a_users_own_script_is_a_law_with_the_exact_tangent(own) -> None:
    path, card, digest = own
    law = load_torchscript(path, card, sha256=digest)
    assert law.card.figures.tangent_check < 1e-6
    assert law.state_layout.size == 1
    scale = np.array(law.card.scaling.stress)
    strain = 0.3 * np.array(law.card.scaling.strain)
    answer = law.update(strain[None], law.initial_state(1), 1.0)
    np.testing.assert_allclose(answer.stress[0], scale * np.sinh(0.3), rtol=1e-14)
    # Another script without weights is another law, known by what it answers.
    probe = law.card.probe.model_copy(update={"stress": [[2.0 * s for s in row] for row in law.card.probe.stress]})
    other = LearnedMaterial(law.network, law.card.model_copy(update={"probe": probe}))
    assert other.identity != law.identity == load_torchscript(path, card, sha256=digest).identity


def test_a_users_own_script_with_another_hash_is_never_loaded(own, monkeypatch) -> None:
    path, card, digest = own
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("torch.jit.load", lambda *_: pytest.fail("it was loaded before it was hashed"))
    with pytest.raises(LawFileError, match="SHA-256"):
        load_torchscript(path, card, sha256=digest)


def test_a_users_own_script_needs_its_card(own) -> None:
    path, card, digest = own
    card.unlink()
    with pytest.raises(LawFileError, match=r"no law file at .*own.json"):
        load_torchscript(path, card, sha256=digest)


def test_a_users_own_script_with_the_card_of_another_is_refused(own, law) -> None:
    path, card, digest = own
    write_card(card, law.card)
    with pytest.raises(LawFileError, match="card of a law 'lstm'"):
        load_torchscript(path, card, sha256=digest)
