"""The law file: safetensors weights with the JSON card in the header, sealed by one hash.

The seal is the SHA-256 of the whole file with the seal itself written as zeros, so a flipped bit anywhere is found
before anything is built. Only then the known architecture is made, the weights are loaded, and the law is probed:
it must answer the question on its card as it did when it was saved. Nothing in this format runs foreign code; a
user's own TorchScript does, and is therefore accepted only with its card and an explicit hash.
"""

import functools
import hashlib
import json
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import safetensors.torch
import torch

from pointlaw.data import write_bytes
from pointlaw.errors import InputError, LawFileError
from pointlaw.laws.card import FORMAT_VERSION, LawCard, Probe
from pointlaw.laws.density import Density
from pointlaw.laws.learned import LearnedMaterial
from pointlaw.materials import PointStatus
from pointlaw.networks import Network, build, load_script

FORMAT = "pointlaw-law"
_DENSITY = "density."  # what the tensors of the density are called, in front of their own names
_OPEN_SEAL = "0" * 64
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format


def save_law(path: str | Path, law: LearnedMaterial) -> str:
    """Write ``law`` to the file ``path`` (atomically) and return its seal.

    Raises ``LawFileError`` when a weight is not finite, the network is a foreign script, or the law does not answer
    its probe, so that the file could not be read again.
    """
    if not isinstance(law.network, Network):
        raise LawFileError(f"The law '{law.card.name}' is a foreign script; ship its file with its card (write_card).")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in law.network.state_dict().items()}
    _finite(weights, f"The law '{law.card.name}'")
    probe(law, f"The law '{law.card.name}'")
    if law.density is not None:
        weights |= {_DENSITY + name: torch.tensor(array) for name, array in law.density.arrays.items()}
    content = seal(weights, law.card.model_dump_json())
    write_bytes(path, content)
    return _seal_of(content, str(path))[0]


def load_law(path: str | Path) -> LearnedMaterial:
    """Read a law file: hash, build, load, script, probe, in this order.

    Raises ``LawFileError`` with a sentence when the file is missing, truncated, damaged, has no card, is of another
    version, names an unknown architecture, holds a weight that is not finite, or answers its probe differently.
    """
    path = Path(path)
    content = _read(path)
    _, metadata = _seal_of(content, str(path))
    card = _card(metadata["card"], str(path))
    try:
        tensors = dict(sorted(safetensors.torch.load(content).items()))  # the library gives them in random order
        weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(_DENSITY)}
        network = build(card.architecture, card.config)
        network.to(_precision(weights)).load_state_dict(weights)
    except InputError as error:
        raise LawFileError(f"{path}: {error}") from error
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise LawFileError(
            f"The weights in {path} do not fit the architecture '{card.architecture}': {error}"
        ) from error
    _finite(weights, str(path))
    density = _density(tensors, card, str(path))
    return _probed(network.eval().requires_grad_(False), card, str(path), density)


def load_torchscript(path: str | Path, card_path: str | Path, *, sha256: str) -> LearnedMaterial:
    """Read a user's own TorchScript file, which answers ``(x[r, f], state[r, h]) -> (y[r, m], state[r, h])``.

    Loading TorchScript runs its author's code. The bytes are therefore hashed first and must have the SHA-256 that
    you give, which you have from the author; the card is JSON beside it (:func:`write_card`) and is checked by the
    same probe as any law.

    Raises ``LawFileError`` when the hash differs, the card does not fit, or the probe is answered differently.
    """
    path, card_path = Path(path), Path(card_path)
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise LawFileError(f"{path} has the SHA-256 {found}, not {sha256}; it was not loaded.")
    card = _card(_read(card_path).decode(errors="replace"), str(card_path))
    if card.architecture != "torchscript":
        raise LawFileError(f"{card_path} is the card of a law '{card.architecture}', not of a TorchScript file.")
    try:
        module = load_script(content)
    except RuntimeError as error:
        raise LawFileError(f"{path} is not a TorchScript file: {error}") from error
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    _finite(dict(module.named_parameters()), str(path))
    return _probed(module, card, str(path))


def seal_of(path: str | Path) -> str:
    """Return the seal of a law file, which is checked; it names the content of the file."""
    return _seal_of(_read(Path(path)), str(path))[0]


def write_card(path: str | Path, card: LawCard) -> None:
    """Write ``card`` as a JSON file, for a law that is not a file of ours."""
    write_bytes(path, card.model_dump_json(indent=2).encode())


def read_card(path: str | Path) -> LawCard:
    """Return the card of a law file, or of a JSON card, without building the law; the seal is checked."""
    path = Path(path)
    content = _read(path)
    text = content.decode(errors="replace") if path.suffix == ".json" else _seal_of(content, str(path))[1]["card"]
    return _card(text, str(path))


def seal(weights: dict[str, torch.Tensor], card: str) -> bytes:
    """Return the bytes of a law file made of ``weights`` and the JSON text ``card``, with its seal filled in."""
    plain = safetensors.torch.save(weights)
    length = int.from_bytes(plain[:8], "little")
    header = json.loads(plain[8 : 8 + length])
    header["__metadata__"] = {"format": FORMAT, "seal": _OPEN_SEAL, "card": card}
    # The library writes metadata in random order; the same law shall be the same file. Padded as the format wants.
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + plain[8 + length :]
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(_field(_OPEN_SEAL), _field(digest), 1)


def ask(law: LearnedMaterial, strain: list[list[float]], dt: float) -> Probe:
    """Return a :class:`Probe` with what ``law`` answers along ``strain[k][m]``, one point, steps of ``dt``."""
    state = law.initial_state(1)
    stress: list[list[float]] = []
    tangent: list[list[float]] = []
    for row in strain:
        answer = law.update(np.array([row]), state, dt)
        state = answer.state
        stress.append(answer.stress[0].tolist())
        tangent = answer.tangent[0].tolist() if answer.tangent is not None else []
    return Probe(dt=dt, strain=strain, stress=stress, tangent=tangent)


def probe(law: LearnedMaterial, who: str) -> None:
    """Ask ``law`` the question on its card, and zero strain; raise ``LawFileError`` unless it answers as it should.

    ``who`` is what the sentence begins with.
    """
    card = law.card
    reference = np.array([law.kinematics.reference])
    if law.update(reference, law.initial_state(1), card.probe.dt).status[0] == PointStatus.FAILED:  # type: ignore[index]
        raise LawFileError(f"{who} answers zero strain with numbers that are not finite.")
    answer = ask(law, card.probe.strain, card.probe.dt)
    if not answer.finite:
        raise LawFileError(f"{who} answers its probe with numbers that are not finite.")
    tolerance = 1e-4 if card.precision == "float32" else 1e-9
    for name in ("stress", "tangent"):
        then, now = np.array(getattr(card.probe, name)), np.array(getattr(answer, name))
        if then.shape != now.shape or not np.abs(now - then).max(initial=0.0) <= tolerance * np.abs(then).max(
            initial=1e-300
        ):
            raise LawFileError(
                f"{who} answers its probe with another {name} than when it was saved; "
                "weights and card do not belong together."
            )


def _precision(weights: dict[str, torch.Tensor]) -> torch.dtype:
    """Return the type of number of a module with ``weights``, which holds all of them; whole numbers have no say."""
    kinds = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if not kinds:
        raise RuntimeError("there is no weight")
    return functools.reduce(torch.promote_types, kinds)


def _density(tensors: dict[str, Any], card: LawCard, source: str) -> Density | None:
    """Return the density among the tensors of a law file, ``None`` if its card names none."""
    if card.envelope.density is None:
        return None
    arrays = {n.removeprefix(_DENSITY): t.double().numpy() for n, t in tensors.items() if n.startswith(_DENSITY)}
    try:
        return Density(**arrays)
    except TypeError as error:
        raise LawFileError(f"The density in {source} is incomplete: {error}") from error
    except InputError as error:
        raise LawFileError(f"{source}: {error}") from error


def _probed(network: Any, card: LawCard, source: str, density: Density | None = None) -> LearnedMaterial:
    try:
        law = LearnedMaterial(network, card, density=density)
        probe(law, f"The law in {source}")
    except (InputError, RuntimeError) as error:
        raise LawFileError(f"The law in {source} cannot be evaluated: {error}") from error
    return law


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise LawFileError(f"There is no law file at {path}.") from None
    except OSError as error:
        raise LawFileError(f"{path} cannot be read: {error.strerror}.") from error


def _seal_of(content: bytes, source: str) -> tuple[str, dict[str, str]]:
    """Check the seal of the bytes of a law file; return it with the header's metadata."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _LARGEST_HEADER):
        raise LawFileError(f"{source} is truncated, or not a safetensors file.")
    try:
        header = json.loads(content[8 : 8 + length])
        ends = [index(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        metadata = header.get("__metadata__", {})
        digest, card, kind = metadata.get("seal"), metadata.get("card"), metadata.get("format")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise LawFileError(f"The header of {source} is damaged, or it is not a safetensors file.") from error
    if card is None or digest is None:
        raise LawFileError(f"{source} has no card; a law is used only together with its card (save_law writes both).")
    if ends and len(content) < 8 + length + max(ends):
        raise LawFileError(f"{source} is truncated: {8 + length + max(ends) - len(content)} bytes are missing.")
    if hashlib.sha256(content.replace(_field(digest), _field(_OPEN_SEAL), 1)).hexdigest() != digest:
        raise LawFileError(f"{source} is damaged: its content does not have the hash that was written with it.")
    if kind != FORMAT:
        raise LawFileError(f"{source} is of the format '{kind}', not '{FORMAT}'.")
    return digest, metadata


def _field(digest: str) -> bytes:
    return f'"seal":"{digest}"'.encode()


def _card(text: str, source: str) -> LawCard:
    try:
        raw = json.loads(text)
        version = raw["version"]
        if version != FORMAT_VERSION:
            raise LawFileError(f"{source} has format version {version}; this pointlaw reads version {FORMAT_VERSION}.")
        return LawCard.model_validate(raw)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else None
        where = f"{'.'.join(map(str, first['loc'])) or 'card'}: {first['msg']}" if first else str(error)
        raise LawFileError(f"The card of {source} cannot be used: {where}") from error


def _finite(weights: dict[str, Any], source: str) -> None:
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise LawFileError(f"{source} has a weight that is not finite: '{name}'.")
