"""Sample a material along planned paths, on any number of ranks, into one dataset.

The paths are dealt one batch after the other to whoever is free, each rank drives its own copy of the material alone
and appends every finished path to its shard. The same call resumes what an earlier one, on any number of ranks, has
left unfinished, and ends with the same numbers; a path that fails is kept as far as it went, with its reason.
"""

from pointlaw.fem.mpi import DOLFINX_VERSION, MPI, agree  # isort: skip - MPI first

import copy
import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointlaw import __version__
from pointlaw.data import DatasetCard, Units, write_bytes
from pointlaw.errors import InputError, PointlawError
from pointlaw.materials import Material
from pointlaw.paths import Record, drive
from pointlaw.rve.batched import BatchedEngine
from pointlaw.rve.collect import read_paths, shard_path, shard_paths, write_dataset, write_failed
from pointlaw.rve.farm import Farm, Progress
from pointlaw.rve.lock import OutputLock
from pointlaw.rve.plan import PathPlan
from pointlaw.rve.provenance import describe
from pointlaw.rve.shards import PathRecord, ShardWriter, repair_shard
from pointlaw.rve.stored import StoredEnergy, path_energies, stored_energy
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

FORMAT = "pointlaw-sample"
VERSION = 2  # since 2, fingerprints see what a law keeps under private names, and each entry of large arrays
SAME_STIFFNESS = 1e-5  # of its largest entry: single precision, and other engines, may differ by less


@dataclass(frozen=True)
class SampleReport:
    """What a call of :func:`sample` has done; the same on all ranks.

    Attributes
    ----------
    folder : Path
        The output.
    dataset : Path or None
        Its ``dataset.h5``; ``None`` if no path was finished.
    finished, failed : int
        Paths in the output that reached their end, and that did not.
    computed : int
        Paths that this call computed; the others were there already.
    seconds : float
        Wall time of this call.
    reasons : dict
        For each failed path why it stopped.
    """

    folder: Path
    dataset: Path | None
    finished: int
    failed: int
    computed: int
    seconds: float
    reasons: dict[int, str]

    def __str__(self) -> str:
        rate = self.computed / self.seconds if self.seconds else 0.0
        text = f"{self.finished} paths in {self.dataset}; {self.computed} computed now, {rate:.3g} a second"
        return f"{text}; {self.failed} failed, see {self.folder / 'failed.h5'}" if self.failed else text


def sample(
    material: Material | Callable[[], Material],
    plan: PathPlan,
    out: str | Path,
    *,
    comm: Any = None,
    batch: int | None = None,
    tangent: bool = False,
    energy: bool | None = None,
    max_cuts: int = 8,
    teacher: str = "",
    parameters: dict[str, Any] | None = None,
    units: Units | None = None,
    watch: Callable[[Progress, int], None] | None = None,
) -> SampleReport:
    """Drive ``material`` along the paths of ``plan`` and write the dataset ``out/dataset.h5``; collective.

    Parameters
    ----------
    material : Material, or callable that makes one
        The teacher; each rank uses its own, so a volume element is made on ``COMM_SELF``.
    plan : PathPlan
        Which paths.
    out : path
        Folder of the output. If it holds paths of the same teacher and plan, only the missing ones are computed. The
        teacher is the same by its description (``parameters``, :func:`~pointlaw.rve.provenance.describe`) and its
        stiffness at rest.
    comm
        Communicator over whose ranks the paths are dealt; ``COMM_WORLD`` unless given.
    batch : int
        Paths that a rank drives together and deals at once; by default 8 for a volume element on the batched engine,
        else 1. A law that is fast on many points wants many; what a kill can lose is the batches in flight.
    tangent : bool
        Whether to keep the consistent tangents.
    energy : bool, optional
        Whether to keep stored and dissipated energy, see :func:`~pointlaw.rve.stored.path_energies`; by default where
        the energy of the law is known.
    max_cuts : int
        How deep a failing step is cut; see :func:`~pointlaw.paths.drive`.
    teacher, parameters
        Name and description of the material on the card; taken from the material unless given.
    units : Units, optional
        Names of the units, for the card; those of the law if it has some, otherwise MPa, 1 and s.
    watch : callable, optional
        Called on rank 0 as ``watch(progress, paths_to_do)`` whenever paths were finished.

    Returns
    -------
    SampleReport

    Raises
    ------
    InputError
        If the plan does not fit the material, its energy is wanted and not known, the output belongs to another plan
        or teacher, or somebody else is writing to it; on all ranks.
    OSError
        If the disk refuses; the sentence names the file. Paths that were finished before are safe.
    """
    comm = MPI.COMM_WORLD if comm is None else comm
    begin, folder = time.perf_counter(), Path(out)
    if batch is not None and batch < 1:
        raise InputError(f"sample: batch = {batch} must be at least 1.")
    law, error = guarded(lambda: material if isinstance(material, Material) else material())
    agree(comm, error)
    batch = batch or (8 if isinstance(getattr(law, "engine", None), BatchedEngine) else 1)
    stored, error = guarded(lambda: _energy_to_keep(law, energy))
    agree(comm, error)
    options = {"batch": batch, "tangent": tangent, "energy": stored is not None, "max_cuts": max_cuts}
    run = _Run(comm, law, plan, folder, options, stored)
    card, error = guarded(lambda: _card(law, plan, options, teacher, parameters, units))
    agree(comm, error)
    lock = OutputLock(folder)
    _, error = guarded(lambda: lock.__enter__() if comm.rank == 0 else None)
    agree(comm, error)
    try:
        computed = run.compute(card, watch)
        report, error = guarded(lambda: run.collect(card, computed, begin) if comm.rank == 0 else None)
        agree(comm, error)
    finally:
        if comm.rank == 0:
            lock.__exit__(None, None, None)
    return comm.bcast(report)


class _Run:
    """One call of :func:`sample`: what every rank knows."""

    def __init__(
        self,
        comm: Any,
        law: Material,
        plan: PathPlan,
        folder: Path,
        options: dict[str, Any],
        stored: StoredEnergy | None,
    ):
        self.comm, self.law, self.plan, self.folder, self.options = comm, law, plan, folder, options
        self.stored = stored
        self.batch: int = options["batch"]

    def compute(self, card: DatasetCard, watch: Callable[[Progress, int], None] | None) -> int:
        """Compute what is missing; return on rank 0 how many paths that were."""
        done, error = guarded(lambda: self._prepare(card) if self.comm.rank == 0 else set())
        agree(self.comm, error)
        done = self.comm.bcast(done)
        missing = [i for i in range(self.plan.paths) if i not in done]
        batches = sorted({i // self.batch for i in missing})
        shard, error = guarded(lambda: ShardWriter(shard_path(self.folder, self.comm.rank)))
        agree(self.comm, error)
        farm = Farm(self.comm, batches, (lambda news: watch(news, len(missing))) if watch else None)
        law = _attentive(self.law, farm.attend)
        try:
            for number in farm:
                records = self._batch(law, number)
                fresh = [record for record in records if record.index not in done]
                for record in fresh:
                    shard.append(record)
                farm.report(len(fresh), sum(bool(record.reason) for record in fresh))
        finally:
            shard.close()
        self.comm.Barrier()
        farm.close()
        return len(missing)

    def collect(self, card: DatasetCard, computed: int, begin: float) -> SampleReport:
        """Write the dataset from the shards of all ranks; rank 0 only."""
        records = [record for record in read_paths(self.folder) if record.index < self.plan.paths]
        reasons = {record.index: record.reason for record in records if record.reason}
        failed = write_failed(self.folder, card, records)
        dataset = write_dataset(self.folder, card, records)
        if failed:
            log.warning("%d of %d paths failed; %s says why.", len(reasons), len(records), failed)
        good, seconds = len(records) - len(reasons), time.perf_counter() - begin
        return SampleReport(self.folder, dataset, good, len(reasons), computed, seconds, reasons)

    def _prepare(self, card: DatasetCard) -> set[int]:
        """Check whose output this is, mend the shards, and return the paths that are there."""
        path, mine = self.folder / "sample.json", _fingerprint(card)
        if path.exists():
            _check_owner(path, mine, card)
        else:
            if shard_paths(self.folder):
                raise InputError(f"{self.folder} holds shards but no sample.json; choose another output.")
            content = {"format": FORMAT, "version": VERSION, "fingerprint": mine, "card": card.model_dump(mode="json")}
            write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
        done: set[int] = set()
        for shard in shard_paths(self.folder):
            done |= repair_shard(shard)
        return done

    def _batch(self, law: Material, number: int) -> list[PathRecord]:
        """Drive the paths of one batch."""
        # Always the whole batch, even if some of its paths are there: sums over other batches may round differently.
        indices = list(range(number * self.batch, min((number + 1) * self.batch, self.plan.paths)))
        try:
            return self._drive(law, indices)
        except InputError:
            raise
        except (PointlawError, ArithmeticError, np.linalg.LinAlgError) as error:
            if len(indices) == 1:
                return [self._broken(indices[0], error)]
        # Which of them it was shows when each goes alone.
        records = []
        for index in indices:
            try:
                records += self._drive(law, [index])
            except (PointlawError, ArithmeticError, np.linalg.LinAlgError) as error:
                records.append(self._broken(index, error))
        return records

    def _drive(self, law: Material, indices: Sequence[int]) -> list[PathRecord]:
        begin = time.perf_counter()
        load = self.plan.load(indices, law.kinematics)
        record = drive(law, load, tangent=self.options["tangent"], max_cuts=self.options["max_cuts"])
        energies = path_energies(self.stored, record) if self.stored else None
        seconds = (time.perf_counter() - begin) / len(indices)
        return [self._record(record, energies, row, index, seconds) for row, index in enumerate(indices)]

    def _record(
        self, record: Record, energies: tuple[Array, Array] | None, row: int, index: int, seconds: float
    ) -> PathRecord:
        # A path that failed at its very start has nothing but NaN to show.
        end = int(record.reached[row]) + 1 if np.isfinite(record.stress[row, 0]).all() else 0
        return PathRecord(
            index=index,
            time=record.times[:end],
            strain=record.strain[row, :end],
            stress=record.stress[row, :end],
            tangent=None if record.tangent is None else record.tangent[row, :end],
            energy=None if energies is None else energies[0][row, :end],
            dissipation=None if energies is None else energies[1][row, :end],
            reason=_renumbered(record.reasons[row], row, index),
            cuts=int(record.cuts[row]),
            seconds=seconds,
            rank=self.comm.rank,
        )

    def _broken(self, index: int, error: Exception) -> PathRecord:
        none, m = np.zeros(0), self.law.kinematics.size
        reason = f"Path {index} stopped with {type(error).__name__}: {error}"
        return PathRecord(index, none, np.zeros((0, m)), np.zeros((0, m)), reason=reason, rank=self.comm.rank)


def _card(
    law: Material,
    plan: PathPlan,
    options: dict[str, Any],
    teacher: str,
    parameters: dict[str, Any] | None,
    units: Units | None,
) -> DatasetCard:
    """Return the card of the dataset; the plan is tried on its first path."""
    plan.load([0], law.kinematics)
    told = describe(law) if parameters is None else parameters  # before it is used: it may count its calls
    rest = law.update(law.kinematics.reference[None], law.initial_state(1), plan.duration / plan.steps)
    return DatasetCard(
        kinematics=law.kinematics.name,
        units=units or law.units or Units(),
        teacher=teacher or type(law).__name__,
        parameters={**told, "sampling": options},
        plan=plan.model_dump(mode="json"),
        seeds=[plan.seed],
        stiffness=None if rest.tangent is None else rest.tangent[0].tolist(),
        versions=_versions(law),
    )


def _energy_to_keep(law: Material, wanted: bool | None) -> StoredEnergy | None:
    """Return the energy of ``law`` if it is kept; raises ``InputError`` if it is wanted and not known."""
    known = None if wanted is False else stored_energy(law)
    if wanted and known is None:
        raise InputError(
            f"sample: energy = True, but what {type(law).__name__} stores is not known here; leave energy out, or use "
            "hyperelastic laws, finite-strain J2, or small-strain laws with an elastic strain of pointlaw.materials."
        )
    return known


def _versions(law: Material) -> dict[str, str]:
    """Return what software answers; the engine belongs here, for it makes no difference to the numbers."""
    found = {"pointlaw": __version__, "numpy": np.__version__, "python": platform.python_version()}
    if (engine := getattr(law, "engine", None)) is not None:
        found |= {"dolfinx": DOLFINX_VERSION, "engine": type(engine).__name__}
    return found


def _fingerprint(card: DatasetCard) -> str:
    """Return a hash over what decides the numbers of a path: not the number of paths, not the versions."""
    return hashlib.sha256(json.dumps(_essence(card.model_dump(mode="json")), sort_keys=True).encode()).hexdigest()


def _essence(card: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a card that decide the numbers of a path."""
    essence = {name: card.get(name) for name in ("kinematics", "teacher", "parameters", "plan")}
    return essence | {"plan": {name: value for name, value in (card.get("plan") or {}).items() if name != "paths"}}


def _check_owner(path: Path, mine: str, card: DatasetCard) -> None:
    """Raise ``InputError`` if the output at ``path`` was begun with another teacher or plan."""
    try:
        content = json.loads(path.read_text())
        theirs, old = content["fingerprint"], content["card"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); choose another output.") from error
    new, before = _essence(card.model_dump(mode="json")), _essence(old)
    # What a law hides from its description shows in its answers.
    same = _same_stiffness(card.stiffness, old.get("stiffness"))
    if theirs != mine or not same:
        differing = [name for name in new if new[name] != before[name]] + ["stiffness"] * (not same)
        older = content.get("version") != VERSION
        raise InputError(
            f"{path.parent} holds paths of another run: {' and '.join(differing)} differ. Choose another output, or "
            "start with the same configuration to resume."
            + (" It was begun by an older version, which told laws apart by less." if older else "")
        )
    if old.get("versions") != card.versions:
        log.warning("%s was begun with the versions %s; now %s.", path.parent, old.get("versions"), card.versions)


def _same_stiffness(one: list[list[float]] | None, other: list[list[float]] | None) -> bool:
    """Return whether two stiffnesses at rest are those of one law; unknown ones may be."""
    if one is None or other is None:
        return True
    gap = np.abs(np.subtract(one, other)).max()
    return not gap > SAME_STIFFNESS * np.abs(one).max()


def _attentive(law: Material, attend: Callable[[], None]) -> Material:
    """Return ``law`` with an ``update`` that looks after the other ranks first, and is otherwise the same."""
    listening, update = copy.copy(law), law.update

    def attentive(*arguments: Any, **options: Any) -> Any:
        attend()
        return update(*arguments, **options)

    # On the copy alone and not by a subclass: messages name the class of the law.
    object.__setattr__(listening, "update", attentive)
    return listening


def _renumbered(reason: str, row: int, index: int) -> str:
    """Name the path by its index in the plan instead of its row in the batch."""
    return reason.replace(f"Path {row} ", f"Path {index} ", 1)


def guarded(action: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return what ``action`` returns and the error it raised, one of them ``None``, so that all ranks can agree."""
    try:
        return action(), None
    except Exception as error:
        return None, error
