"""What is seen of a run: the log, the terminal, trackers, and alarms that go off when they should and not else."""

from __future__ import annotations

import builtins
import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from xrete import registry
from xrete.errors import XreteError
from xrete.models.emmax.alarms import Alarms, stale_keys
from xrete.models.emmax.config import Config
from xrete.models.emmax.folders import Progress
from xrete.models.emmax.log import Watch, operations
from xrete.models.emmax.loop import train
from xrete.models.emmax.monitors import watch_em
from xrete.models.emmax.pictures import draw
from xrete.models.emmax.pretrain import pretrain
from xrete.models.emmax.scoring import Scorer, Scores
from xrete.models.emmax.step import Candidates
from xrete.models.emmax.training import Training
from xrete.training.team import Team

Configure = Callable[..., Config]
ReadLog = Callable[[Path], list[dict[str, Any]]]

RANKS = 4


# --- the log ------------------------------------------------------------------------------------------------


def test_every_monitor_is_in_the_log(assemble: Callable[..., Training], log: ReadLog) -> None:
    run = assemble("em.parallel_fraction=0.5", "mlm.weight=0.1", "warmup.mlm_steps=1")
    train(run)
    steps = [entry for entry in log(run.checkpoints.folder) if entry["event"] == "step"]
    by_phase = {entry["phase"]: entry for entry in steps}
    assert by_phase["mlm"].keys() == {"event", "phase", "step", "loss_mlm", "norm_encoder"}
    assert by_phase["encoder"].keys() == {
        "event", "phase", "step", "loss_encoder", "loss_mlm", "norm_encoder", "retrieved"
    }  # fmt: skip
    assert by_phase["classifier"].keys() == {
        "event", "phase", "step", "loss_classifier", "norm_classifier", "accuracy", "translations_found",
        "changed_by_order", "ranks_classifier", "typical", "prior", "log_variance",
    }  # fmt: skip
    em = by_phase["em"]
    assert em.keys() == {
        "event", "phase", "step", "loss_encoder", "loss_classifier", "loss_mlm", "norm_encoder", "norm_classifier",
        "ranks_classifier", "ranks_encoder", "agreement", "cosine", "distance", "anchors", "typical", "prior",
        "log_variance", "golden_paraphrase", "golden_retrieved", "own_paraphrase", "share_of_rank", "asked_cosine",
        "asked_room",
    }  # fmt: skip
    for key in ("ranks_classifier", "ranks_encoder", "prior"):
        assert len(em[key]) == RANKS
        assert sum(em[key]) == pytest.approx(1)
    assert em["typical"] == run.typical.values.tolist()
    assert all(low <= middle <= high for low, middle, high in em["log_variance"])
    for share, cosine, distance, anchors in zip(
        em["ranks_classifier"], em["cosine"], em["distance"], em["anchors"], strict=True
    ):
        assert (share == 0) == (cosine is None) == (distance is None) == (anchors == 0)
        if cosine is not None:  # |a - b|^2 = 2 - 2 cos, and the mean root is at most the root of the mean
            assert distance <= (2 - 2 * cosine) ** 0.5 + 1e-6


def test_monitors_are_what_they_say(assemble: Callable[..., Training], log: ReadLog) -> None:
    """Of made-up vectors: two anchors, five candidates; their own keys are left out."""
    run = assemble("optimisation.batch=4")
    run.watch.begin("em", 0, 1)
    (share,) = run.shares(lambda data: data.sentences(4), 1)
    step = run.make_step("em", 0, share)
    cosines = torch.tensor([[1.0, 0.9, 0.5, 0.2, -0.1], [0.9, 1.0, 0.8, 0.3, 0.1]])
    by_classifier = torch.tensor([[0, 0, 1, 2, 3], [1, 0, 0, 2, 3]])
    by_encoder = torch.tensor([[0, 0, 1, 3, 3], [0, 0, 0, 2, 3]])
    allowed = torch.tensor([[False, True, True, True, True], [True, False, True, True, True]])
    known = torch.zeros_like(allowed)
    known[0, 1] = known[1, 0] = True
    own = torch.tensor([[True, False, False, False, False], [False, True, False, False, False]])
    by_classifier[1, 1] = 2
    watch_em(run, step, cosines, by_classifier, by_encoder, Candidates(torch.zeros(5, 2), allowed, own), known)
    found = step.metrics
    assert found["ranks_classifier"] == pytest.approx([2 / 8, 2 / 8, 2 / 8, 2 / 8])
    assert found["ranks_encoder"] == pytest.approx([3 / 8, 1 / 8, 1 / 8, 3 / 8])
    assert found["agreement"] == pytest.approx(6 / 8)
    assert found["cosine"] == pytest.approx([(0.9 + 0.8) / 2, (0.5 + 0.9) / 2, 0.25, 0.0], abs=1e-6)
    assert found["distance"][2] == pytest.approx((1.6**0.5 + 1.4**0.5) / 2)
    assert found["anchors"] == pytest.approx([1.0, 1.0, 1.0, 1.0])
    assert found["own_paraphrase"] == pytest.approx(1 / 2)
    assert found["golden_paraphrase"] == pytest.approx(1 / 2)
    assert found["golden_retrieved"] == pytest.approx(2 / 2)


def test_a_log_goes_on_from_the_checkpoint(
    configure: Configure, tmp_path: Path, console: Any, log: ReadLog
) -> None:
    watch = Watch(configure(), Team.join("cpu"), tmp_path, console)
    lines = [
        '{"event": "score", "phase": "start", "step": 0, "score": 1.0}',
        '{"event": "step", "phase": "encoder", "step": 2}',
        '{"event": "warning", "text": "first"}',
        '{"event": "step", "phase": "encoder", "step": 3}',
        '{"event": "warning", "text": "second"}',
        '{"event": "step", "phase": "classifier", "st',  # the process was killed here
    ]
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    watch.rewind(Progress("encoder", 2, {}), [{"score": 1.0}])
    assert file.read_text("utf-8").splitlines() == lines[:3]
    assert watch.scores == [{"score": 1.0}]
    watch.rewind(Progress("mlm", 0, {}), [])  # no checkpoint: everything is done again
    assert not file.exists()


@pytest.mark.parametrize(
    ("phase", "alone", "with_mlm"), [("mlm", 6, 6), ("encoder", 8, 14), ("classifier", 2, 2), ("em", 8, 14)]
)
def test_operations_of_a_token(configure: Configure, phase: str, alone: int, with_mlm: int) -> None:
    assert operations(configure("mlm.weight=0"), phase) == alone
    assert operations(configure("mlm.weight=0.5"), phase) == with_mlm


# --- alarms -------------------------------------------------------------------------------------------------


def test_keys_that_lag_behind_for_all_of_a_phase_are_warned_of(
    assemble: Callable[..., Training], tmp_path: Path, log: ReadLog
) -> None:
    assert stale_keys(0.999, 2000) is stale_keys(0.98, 60) is None
    left = 1.0
    for _ in range(240):
        left *= 0.999
    assert f"leaves {left:.0%} of the old key encoder after the 240 steps" in str(stale_keys(0.999, 240))
    assert str(stale_keys(0.999, 240)).endswith("; 0.981 leaves 1%")
    run = assemble("encoder.key_momentum=0.9", "warmup.classifier_steps=0", "watch.save_every=1")
    train(run)
    warnings = [entry["text"] for entry in log(tmp_path / "run") if entry["event"] == "warning"]
    assert [text for text in warnings if "lag behind" in text] == [stale_keys(0.9, 3)] * 2  # phases 1a and 2


def healthy(**changes: Any) -> dict[str, Any]:
    return {
        "ranks_classifier": [0.01, 0.03, 0.06, 0.9], "cosine": [0.9, 0.7, 0.4, 0.1],
        "typical": [0.9, 0.7, 0.4, 0.1], "agreement": 0.8, **changes,
    }  # fmt: skip


def looks(alarms: Alarms, metrics: dict[str, Any], steps: range = range(0, 3000, 100)) -> list[str]:
    return [text for number in steps for text in alarms.look(number, metrics)]


def test_a_healthy_run_raises_no_alarm() -> None:
    alarms = Alarms()
    assert looks(alarms, healthy()) == []
    assert looks(alarms, healthy(ranks_classifier=[0.002, 0.008, 0.03, 0.96])) == []  # most pairs are irrelevant
    assert looks(alarms, healthy(ranks_classifier=[0.0004, 0.0006, 0.005, 0.994])) == []  # as on real text
    assert (
        looks(alarms, healthy(ranks_classifier=[0.0, 0.04, 0.06, 0.9], cosine=[None, 0.7, 0.4, 0.1]), range(900))
        == []
    )
    assert looks(alarms, healthy(typical=[0.8, 0.7, 0.4, 0.3])) == []
    for score in (50.0, 60.0, 55.0, 58.0, 57.0, 59.0):
        alarms.look(0, healthy())
        assert alarms.score(score) == []


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (healthy(ranks_classifier=[0.0, 0.001, 0.997, 0.002]), "99.7% of all pairs into rank 3"),
        (healthy(ranks_classifier=[0.0001, 0.0001, 0.0002, 0.9996]), "100.0% of all pairs into rank 4"),
        (healthy(ranks_classifier=[0.05, 0.0, 0.05, 0.9], cosine=[0.9, None, 0.4, 0.1]), "rank 2 has been empty"),
        (healthy(cosine=[0.9, 0.4, 0.7, 0.1]), "ranks have changed places"),
        (healthy(cosine=[0.1, None, None, 0.3]), "ranks have changed places"),
        (healthy(ranks_classifier=[0.00005, 0.03, 0.06, 0.90995]), "paraphrases are 5e-05 of all pairs"),
    ],
)  # fmt: skip
def test_an_alarm_goes_off_once(metrics: dict[str, Any], sentence: str) -> None:
    alarms = Alarms()
    assert looks(alarms, healthy()) == []
    assert len([text for text in looks(alarms, metrics) if sentence in text]) == 1
    assert looks(alarms, metrics) == []


@pytest.mark.parametrize(
    ("shares", "own", "says"),
    [
        ([0.001, 0.999], 1.0, None),  # by right: no two of a batch's sentences say the same
        ([0.001, 0.999], 0.1, "99.9% of all pairs into rank 2"),
        ([0.999, 0.001], 1.0, "99.9% of all pairs into rank 1"),
        ([0.001, 0.0, 0.999], 1.0, "99.9% of all pairs into rank 3"),
    ],
)
def test_a_collapse_is_told_from_pairs_that_are_irrelevant_by_right(
    shares: list[float], own: float, says: str | None
) -> None:
    cosines = [0.9, 0.5, 0.1][: len(shares)]
    metrics = healthy(ranks_classifier=shares, cosine=cosines, typical=cosines, own_paraphrase=own)
    said = Alarms().look(0, metrics)
    assert said == ([] if says is None else [f"the classifier puts {says}"])


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        (("loss.rank_weight=1", "loss.low=0.2", "loss.high=0.4"), False),
        (("loss.rank_weight=1", "loss.low=0.005", "loss.high=0.01"), True),
        (("loss.rank_weight=0.05", "loss.low=0.005", "loss.high=0.4"), True),  # lower ranks pull too little
    ],
)
def test_a_ladder_of_temperatures_that_does_not_fit_is_warned_of_at_the_start(
    assemble: Callable[..., Training], tmp_path: Path, log: ReadLog, changes: tuple[str, ...], fits: bool
) -> None:
    train(assemble(*changes, "em.steps=4", "watch.log_every=4", "em.parallel_fraction=0.5"))
    entries = [entry for entry in log(tmp_path / "run") if entry.get("phase") == "em" and entry["event"] == "step"]
    assert [entry["step"] for entry in entries] == [1, 4]
    asked, room = entries[0]["asked_room"], 1 - entries[0]["cosine"][-1]
    assert (asked <= room) is fits
    said = [entry["text"] for entry in log(tmp_path / "run") if "temperatures ask" in entry.get("text", "")]
    sentence = (
        f"step 1: the temperatures ask for ranks whose cosines are {asked:.2f} apart in all, where irrelevant "
        f"pairs leave {room:.2f}, so related sentences are driven above translations; lower loss.rank_weight to "
        "0.05, or else loss.low and loss.high"
    )
    assert said == ([] if fits else [sentence])


def test_an_empty_rank_must_be_empty_without_a_break() -> None:
    alarms = Alarms()
    empty = healthy(ranks_classifier=[0.05, 0.0, 0.05, 0.9], cosine=[0.9, None, 0.4, 0.1])
    assert looks(alarms, empty, range(0, 1000, 100)) == []
    assert looks(alarms, healthy(), range(1000, 1100, 100)) == []
    assert looks(alarms, empty, range(1100, 2100, 100)) == []
    assert looks(alarms, empty, range(2100, 2200, 100)) == ["rank 2 has been empty for 1,000 steps"]


def test_typical_similarities_that_draw_together() -> None:
    alarms = Alarms()
    assert looks(alarms, healthy()) == []
    together = healthy(typical=[0.95, 0.85, 0.7, 0.6])
    assert looks(alarms, together) == ["typical similarities draw together: s_1 - s_N fell from 0.80 to 0.35"]


def test_modules_that_confirm_each_others_errors() -> None:
    alarms = Alarms()
    said = []
    for agreement, score in ((0.7, 50.0), (0.8, 45.0), (0.9, 40.0), (0.95, 35.0)):
        alarms.look(0, healthy(agreement=agreement))
        said += alarms.score(score)
    assert said == ["both modules agree ever more while held-out retrieval falls: they confirm each other's errors"]


def test_alarms_reach_log_and_terminal_and_a_run_that_goes_on_says_them_no_more(
    assemble: Callable[..., Training], tmp_path: Path, log: ReadLog
) -> None:
    run = assemble()
    watch, text = run.watch, "ranks have changed places: mean cosines do not fall with the rank"
    watch.begin("em", 0, 5)
    (share,) = run.shares(lambda data: data.sentences(16), 1)
    for number in range(2):
        step = run.make_step("em", number, share)
        step.metrics |= healthy(cosine=[0.1, 0.2, 0.3, 0.4])
        watch.count(step)
        watch.log(step, 1)
    events = [(entry["event"], entry.get("text")) for entry in log(tmp_path / "run")]
    assert events == [("step", None), ("warning", f"step 1: {text}"), ("step", None)]
    assert f"warning: step 1: {text}\n" in output(run)

    again = Watch(run.config, run.team, tmp_path / "run", Console(file=io.StringIO()))
    again.rewind(Progress("em", 2, {}), [])
    assert again.alarms.look(3, healthy(cosine=[0.1, 0.2, 0.3, 0.4])) == []


def output(run: Training) -> str:
    file = run.watch.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


# --- the terminal -------------------------------------------------------------------------------------------


def test_plain_lines_where_there_is_no_terminal(configure: Configure, tmp_path: Path, console: Any) -> None:
    pretrain(configure("watch.log_every=2"), tmp_path / "run", console=console)
    said = console.file.getvalue().splitlines()
    lines = [line for line in said if not line.startswith("warning: ")]
    assert [line.partition("  ")[0] for line in lines] == [
        "phase 1a: encoder: 3 steps", "encoder 2 of 3", "encoder 3 of 3", "phase 1b: classifier: 3 steps",
        "classifier 2 of 3", "classifier 3 of 3", "phase 2: EM: 3 steps", "em 1 of 3", "em 2 of 3", "em 3 of 3",
    ]  # fmt: skip
    assert all(
        "sentences/s" in line and "tokens/s" in line and line.endswith(" min left")
        for line in lines
        if " of " in line
    )


def test_a_live_view_on_a_terminal(assemble: Callable[..., Training]) -> None:
    run = assemble()
    screen = io.StringIO()
    run.watch.console = Console(file=screen, force_terminal=True, width=120, height=30, record=True)
    train(run)
    run.watch.close()
    said = screen.getvalue()
    for text in (
        "phase 1a: encoder",
        "phase 1b: classifier",
        "phase 2: EM",
        "3/3",
        "sentences/s",
        "mean cosine",
        "typical s",
    ):
        assert text in said, text
    assert (
        said.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in said.rpartition("\x1b[?25l")[2]
    )  # the cursor is back


def test_the_terminal_is_given_back_after_an_error(configure: Configure, tmp_path: Path, monkeypatch: Any) -> None:
    def full(*given: Any, **options: Any) -> None:
        raise XreteError("the disk is full")

    screen = io.StringIO()
    monkeypatch.setattr("xrete.models.emmax.checkpoint.Checkpoints.save", full)
    with pytest.raises(XreteError, match="the disk is full"):
        pretrain(configure(), tmp_path / "run", console=Console(file=screen, force_terminal=True))
    assert "\x1b[?25h" in screen.getvalue().rpartition("\x1b[?25l")[2]


def test_pictures_of_a_run(assemble: Callable[..., Training], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures come with the extra 'pictures'")
    run = assemble()
    train(run)
    names = {file.name for file in draw(tmp_path / "run" / "log.jsonl", tmp_path / "drawn")}
    drawn = {f"{name}.{kind}" for name in ("curves", "ranks", "ladder") for kind in ("svg", "png")}
    assert names == {file.name for file in (tmp_path / "drawn").iterdir()} == drawn


def test_pictures_of_a_run_whose_tasks_changed_on_the_way(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures come with the extra 'pictures'")
    log = tmp_path / "log.jsonl"
    entries = [
        {"event": "score", "phase": "encoder", "step": step, "tasks": {task: {"all": 50.0}}, "score": 50.0}
        for step, task in ((1, "tatoeba"), (2, "flores"))
    ]
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), "utf-8")
    assert {file.name for file in draw(log, tmp_path)} == {"curves.svg", "curves.png"}


# --- scores and trackers ------------------------------------------------------------------------------------


class Recorder:
    """A tracker's writer."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, int]] = []

    def add_scalar(self, key: str, value: float, step: int) -> None:
        self.seen.append((key, value, step))


@pytest.fixture
def tensorboard(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    module = SimpleNamespace(SummaryWriter=lambda folder: recorder)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return recorder


def test_a_tracker_gets_metrics_and_scores(
    configure: Configure, tmp_path: Path, console: Any, tensorboard: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "__init__", lambda self, config: setattr(self, "tasks", ["fake"]))
    monkeypatch.setattr(Scorer, "score", lambda *given: Scores({"fake": {"all": 50.0, "head": 60.0}}, {}, {}))
    settings = (
        'watch.trackers=["tensorboard"]',
        "em.steps=0",
        "warmup.classifier_steps=0",
        "warmup.encoder_steps=1",
    )
    pretrain(configure(*settings), tmp_path / "run", console=console)
    keys = {(key, step) for key, _, step in tensorboard.seen}
    assert {("encoder/loss_encoder", 1), ("encoder/norm_encoder", 1), ("encoder/retrieved", 1)} <= keys
    assert {("score/fake/all", 0), ("score/fake/head", 1)} <= keys
    assert "encoder 1  fake all 50.0, head 60.0  (best)" in console.file.getvalue()


def test_a_score_below_the_start_is_not_called_the_best(configure: Configure, tmp_path: Path, console: Any) -> None:
    watch = Watch(configure(), Team.join("cpu"), tmp_path, console)
    watch.add_score("start", 0, Scores({"fake": {"all": 60.0}}, {}, {}))
    assert watch.add_score(
        "em", 1, Scores({"fake": {"all": 50.0}}, {}, {})
    )  # whose checkpoint is kept all the same
    assert watch.add_score("em", 2, Scores({"fake": {"all": 60.0}}, {}, {}))
    assert "em 1  fake all 50.0  (best checkpoint; the start had 60.0)\n" in console.file.getvalue()
    assert "em 2  fake all 60.0  (best)\n" in console.file.getvalue()


def test_preparing_is_reported_every_few_seconds(
    world: Path, configure: Configure, tmp_path: Path, console: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal too, and else not: a small corpus is ready at once."""
    brief = ("em.steps=0", "warmup.classifier_steps=0", "warmup.encoder_steps=1")
    pretrain(configure(*brief), tmp_path / "quiet", console=console)
    assert "preparing" not in console.file.getvalue()
    monkeypatch.setattr("xrete.models.emmax.log.PATIENCE", 0.0)
    scratch = ("encoder.start=", "encoder.scratch.vocabulary=300")
    pretrain(configure(*brief, *scratch), tmp_path / "run", console=console)
    lines = console.file.getvalue()
    assert re.search(
        r"preparing parallel/[a-z-]+ \(1 of \d+\): [\d,]+ rows read, [\d,]+ kept, [\d,]+ rows/s\n", lines
    )
    assert "training a tokenizer of 300 pieces\n" in lines


def test_trackio_gets_the_same(configure: Configure, tmp_path: Path, console: Any, monkeypatch: Any) -> None:
    logged: list[Any] = []
    module = SimpleNamespace(
        init=lambda **options: logged.append(options["name"]),
        log=lambda values, step: logged.append((step, sorted(values)[0])),
    )
    monkeypatch.setitem(sys.modules, "trackio", module)
    config = configure(
        'watch.trackers=["trackio"]', "em.steps=0", "warmup.classifier_steps=0", "warmup.encoder_steps=1"
    )
    pretrain(config, tmp_path / "run", console=console)
    assert logged == ["run", (1, "encoder/loss_encoder")]


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_tracker_that_is_not_installed(
    configure: Configure, tmp_path: Path, console: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = builtins.__import__

    def absent(module: str, *given: Any) -> Any:
        if name in module:
            raise ImportError(f"No module named '{name}'")
        return real(module, *given)

    config = configure(f'watch.trackers=["{name}"]')
    monkeypatch.delitem(sys.modules, f"torch.utils.{name}", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(
        XreteError, match=rf"watch\.trackers: {name} needs a package: pip install 'xrete\[{name}\]'"
    ):
        Watch(config, Team.join("cpu"), tmp_path, console)


def test_a_score_leaves_the_run_as_it_was(
    assemble: Callable[..., Training], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add_plugin_file(world / "world.py")
    run = assemble('watch.tasks=["world"]', f"watch.data={world}")
    run.query.train()
    state = torch.get_rng_state()
    assert not run.score("start", 0) or run.watch.scores
    (entry,) = run.watch.scores
    assert set(entry["tasks"]["world"]) == {"all", "head", "long-tail"}
    assert entry["score"] == entry["tasks"]["world"]["all"] > 50
    assert run.query.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    """Runs must give signals back, whatever becomes of them."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_only_the_first_process_writes(configure: Configure, tmp_path: Path, console: Any) -> None:
    watch = Watch(configure(), Team(1, 2, torch.device("cpu")), tmp_path, console)
    watch.begin("encoder", 0, 3)
    watch.warn("nobody hears this")
    watch.rewind(Progress("encoder", 1, {}), [])
    assert console.file.getvalue() == ""
    assert not (tmp_path / "log.jsonl").exists()


def test_attention_is_what_is_faster_on_the_device(assemble: Callable[..., Training], tmp_path: Path) -> None:
    for dtype, packed in (("float32", True), ("bfloat16", False)):
        layout = assemble(f"compute.dtype={dtype}", folder=tmp_path / dtype).start.layout
        assert (layout.first_position is not None) is packed
        assert not layout.ready  # as for "sdpa"


@pytest.mark.parametrize(
    ("dtype", "able", "warned"), [("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False)]
)
def test_a_precision_that_the_processor_lacks_is_said(
    assemble: Callable[..., Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    dtype: str, able: bool, warned: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": able})
    assemble(f"compute.dtype={dtype}", folder=tmp_path / "run")
    file = tmp_path / "run" / "log.jsonl"
    assert ("no instructions for bfloat16" in (file.read_text() if file.is_file() else "")) is warned
