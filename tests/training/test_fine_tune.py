"""Fine-tuning: every objective learns, heads say what transformers says, and records say what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from transformers import AutoTokenizer, XLMRobertaForSequenceClassification, XLMRobertaModel

import xrete
from xrete.check.records import Case, open_case, verify
from xrete.cli.output import print_plan
from xrete.dataset import Dataset
from xrete.errors import DataError, UsageError, XreteError
from xrete.evaluation.forecast import forecast
from xrete.evaluation.plan import Plan, RunOptions
from xrete.protocols import Settings, Tuning, load_protocol
from xrete.record import Record, read_record, record_digest
from xrete.shapes.contract import Part
from xrete.shapes.metric import runs
from xrete.sources import Folder
from xrete.store import find_records, read_items
from xrete.task import Objective
from xrete.training.finetune import overrides
from xrete.training.finetune.job import TrainerStep
from xrete.training.finetune.network import Reader
from xrete.training.finetune.objectives import OBJECTIVES, cosent
from xrete.training.finetune.tuner import Tuner, trainable
from xrete.training.team import Team

Open = Callable[..., Dataset]
BRIEF = ("epochs=1",)


def tuned(model: Any, dataset: Dataset, *changes: str, **options: Any) -> Record:
    fields = {name: options.pop(name) for name in ("seeds", "lora", "recipe") if name in options}
    return xrete.evaluate(model, dataset, protocol="fine-tune", tuning=Tuning(changes=changes, **fields), **options)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def trained(results: Path) -> list[Path]:
    """Folders of trained models."""
    return sorted(file.parent for file in results.rglob("tuned.json"))


# --- learning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["pairs", "siamese", "topics", "choose", "score", "cosine", "order", "search", "staged"]
)
def test_every_objective_learns(toy: Open, toy_model: Any, name: str) -> None:
    score = tuned(toy_model, toy(name)).score
    assert score is not None
    assert score > 95


@pytest.mark.parametrize("name", ["pairs", "siamese", "topics", "choose", "score", "cosine", "order", "search"])
def test_shapes_give_the_targets_that_the_objective_names(toy: Open, name: str) -> None:
    dataset = toy(name)
    (recipe,) = dataset.card.recipes.values()
    objective = recipe[-1].objective
    shape: Any = dataset.shape
    targets = shape.targets(dataset["xx"], objective)
    kind, dimensions = {
        "place": (np.integer, 1), "flags": (np.bool_, 2), "number": (np.floating, 1), "partner": (np.floating, 1),
    }[OBJECTIVES[objective].target]  # fmt: skip
    assert np.issubdtype(targets.dtype, kind)
    assert targets.ndim == dimensions


def test_every_objective_has_a_row() -> None:
    assert list(OBJECTIVES) == list(get_args(Objective))


def test_queries_and_documents_are_trained_with_their_own_prompts(toy: Open, toy_encoder: Path) -> None:
    model = xrete.load_model(f"hf:{toy_encoder}?query=w1 &document=w2 ", device="cpu")
    encoder: Any = model.encoder
    (stage,) = toy("search").card.recipes["toy"]
    reader = Reader(encoder, stage, ("query", "document"), torch.device("cpu"))
    tokens = reader.tokenise([(["w5"], ["w6"])], np.zeros(1))
    expected = [encoder.tokenizer([text])["input_ids"] for text in ("w1 w5", "w2 w6")]
    assert [side["input_ids"] for side in tokens.sides] == expected
    record = tuned(model, toy("search"), *BRIEF)
    assert record.model.prompts == {"query": "w1 ", "document": "w2 "}


@pytest.mark.parametrize("name", ["pairs", "search"])
def test_a_tokenizer_without_padding_trains_all_the_same(toy: Open, toy_encoder: Path, name: str) -> None:
    model = xrete.load_model(f"hf:{toy_encoder}?pooling=mean", device="cpu")
    encoder: Any = model.encoder
    encoder.tokenizer.pad_token = None
    score = tuned(model, toy(name)).score
    assert score is not None
    assert score > 95


def test_stars_are_learned(toy: Open, toy_model: Any) -> None:
    record = tuned(toy_model, toy("single"))
    assert record.score is not None
    assert record.score < 0.05  # stars off on average
    assert record.groups["all"].variants["accuracy"] > 95


def test_the_stages_are_chosen_once(toy: Open, toy_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    choose, chosen = overrides.choose, []

    def spy(*arguments: Any) -> Any:
        chosen.append(arguments)
        return choose(*arguments)

    monkeypatch.setattr(overrides, "choose", spy)
    assert tuned(toy_model, toy("staged"), "epochs=1").fine_tuning is not None
    assert len(chosen) == 1


def test_low_rank_adapters_learn_and_leave_the_rest(
    toy: Open, toy_model: Any, toy_encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="adapters come with the extra 'lora'")
    record = tuned(toy_model, toy("pairs"), "epochs=8", lora=8, results=tmp_path)
    assert record.score is not None
    assert record.score > 95
    assert record.fine_tuning is not None
    assert record.fine_tuning.lora == 8
    (folder,) = trained(tmp_path)
    before, after = (load_file(x / "model.safetensors") for x in (toy_encoder, folder / "model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("query" in name or "key" in name or "value" in name or "dense" in name for name in changed)


def test_a_stage_goes_on_with_the_head_of_the_one_before(toy: Open, toy_model: Any) -> None:
    """As COPA does with SIQa's: a stage at no rate changes nothing."""
    score = tuned(toy_model, toy("again"), "second.rate=0", "second.epochs=1").score
    assert score is not None
    assert score > 95


def test_an_epoch_may_read_each_item_in_one_of_its_languages(
    toy: Open, toy_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("one_language=true", "select=false", "epochs=4")
    seen: list[NDArray[np.intp]] = []

    def step(stage: Any, rows: NDArray[np.intp], number: int) -> float:
        seen.append(rows)
        return 0.0

    monkeypatch.setattr("xrete.training.finetune.trainer.StageTrainer.step", step)
    record = tuned(toy_model, toy("topics"), *changes)
    assert record.fine_tuning is not None
    (stage,) = record.fine_tuning.runs[0].stages
    assert (stage["items"], stage["steps"]) == (240, 4 * 8)  # 120 in each of two languages, in batches of 16
    epochs = [np.concatenate(seen[start : start + 8]) for start in range(0, 32, 8)]
    for rows in epochs:
        assert sorted(rows % 120) == list(range(120))
        assert 40 < np.count_nonzero(rows < 120) < 80
    assert len({tuple(np.sort(rows)) for rows in epochs}) == 4


@pytest.mark.parametrize(
    ("name", "changes"),
    [("staged", ("epochs=1", "sts.epochs=2")), ("topics", ("one_language=true", "epochs=2"))],
)
def test_a_forecast_is_what_is_done(
    toy: Open,
    toy_model: Any,
    name: str,
    changes: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuning = Tuning(changes=changes, seeds=(1, 2))
    said = forecast(Plan.make(toy_model.identity, toy(name), RunOptions(protocol="fine-tune", tuning=tuning)))
    assert said.seeds == (1, 2)
    record = tuned(toy_model, toy(name), *changes, seeds=(1,))
    assert record.fine_tuning is not None
    (run,) = record.fine_tuning.runs
    done = [(stage["stage"], stage["languages"], stage["steps"]) for stage in run.stages]
    assert [(stage.stage, stage.languages, stage.steps) for stage in said.training] == done
    assert [stage.items for stage in said.training] == {"staged": [216, 240], "topics": [120]}[name]
    monkeypatch.setenv("COLUMNS", "400")
    print_plan([said], error=False)
    shown = {
        "staged": "nli: 216 items, 14 steps; sts: 240 items, 30 steps; with each of 2 seeds; then 240 sentences",
        "topics": "train: 120 items, 16 steps; with each of 2 seeds; then 120 sentences",
    }
    assert shown[name] in capsys.readouterr().out


# --- scores are those of a plain forward pass ----------------------------------------------------------------


def test_classes_are_those_of_transformers(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    """The trained head in transformers' own class for it gives the same answers, a text at a time, unpadded."""
    dataset = toy("pairs")
    record = tuned(toy_model, dataset, results=tmp_path)
    (folder,) = trained(tmp_path)
    plain: Any = XLMRobertaForSequenceClassification.from_pretrained(folder / "model", num_labels=3)
    head = load_file(folder / "model" / "head.safetensors")
    names = {"head.dense": plain.classifier.dense, "head.out": plain.classifier.out_proj}
    for name, layer in names.items():
        layer.load_state_dict({part: head[f"{name}.{part}"] for part in ("weight", "bias")})
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    (file,) = find_records(tmp_path)
    items = read_items(file, record)["yy"]
    data = dataset["yy"]
    plain.eval()
    with torch.inference_mode():
        for row, (first, second) in enumerate(zip(data.first, data.second or (), strict=True)):
            scores = plain(**tokenizer(first, second, return_tensors="pt")).logits
            assert data.classes[int(scores.argmax())] == items["prediction"][row]


def test_scores_do_not_depend_on_batches(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    """Each objective whose head gives scores, against the texts of one item at a time."""
    for name in ("pairs", "topics", "choose", "score"):
        dataset = toy(name)
        protocol: Any = load_protocol("fine-tune")
        settings = Settings(tuning=Tuning(changes=BRIEF))
        (job,) = protocol.jobs(dataset, settings, 42)
        model = Tuner(trainable(toy_model.encoder), tmp_path).train(job)
        shape: Any = dataset.shape
        data = shape.take_first(dataset["xx"], 6)
        together = model.scores(Part("xx", data, 6, 6))
        alone = [model.scores(Part("xx", shape.take(data, [row]), 1, 1)) for row in range(6)]
        np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_vectors_are_those_of_transformers(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    protocol: Any = load_protocol("fine-tune")
    (job,) = protocol.jobs(toy("cosine"), Settings(tuning=Tuning(changes=BRIEF)), 42)
    model = Tuner(trainable(toy_model.encoder), tmp_path).train(job)
    (folder,) = trained(tmp_path)
    plain: Any = XLMRobertaModel.from_pretrained(folder / "model")
    plain.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    texts = toy("cosine")["xx"].first[:5]
    with torch.inference_mode():
        states = [plain(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in texts]
        expected = torch.nn.functional.normalize(torch.stack([state.mean(0) for state in states])).numpy()
    np.testing.assert_allclose(model(texts), expected, atol=1e-5)
    exported = xrete.load_model(f"hf:{folder / 'model'}?pooling=mean", device="cpu")
    np.testing.assert_allclose(
        exported.encode(texts) @ expected.T, exported.encode(texts) @ model(texts).T, atol=1e-4
    )


def test_a_trained_encoder_reads_as_much_as_it_was_trained_on(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    protocol: Any = load_protocol("fine-tune")
    changes = ("epochs=1", "max_length=8", "max_length_second=10")
    (job,) = protocol.jobs(toy("search"), Settings(tuning=Tuning(changes=changes)), 42)
    model = Tuner(trainable(toy_model.encoder), tmp_path).train(job)
    eight = " ".join(f"w{x}" for x in range(8))  # and two special tokens
    longer, other = model([eight, f"{eight} red", f"w9 {eight}"])[1:]
    np.testing.assert_allclose(longer, model([eight])[0], atol=1e-6)
    assert not np.allclose(other, longer, atol=1e-3)
    assert toy_model.encoder.max_length == 64, "the model that was started from stays"


def test_the_order_of_cosines_is_trained_as_by_sentence_transformers() -> None:
    u, v = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0.0, 1, 2, 2, 3, 5, 5, 1, 0, 4, 4, 2.5])
    cosines = torch.nn.functional.cosine_similarity(u, v)
    model: Any = torch.nn.Identity()
    expected = float(CoSENTLoss(model).compute_loss_from_embeddings([u, v], targets))
    alone = Team(0, 1, torch.device("cpu"))
    assert float(cosent(cosines, targets, alone)) == pytest.approx(12 * expected, rel=1e-5)
    assert float(cosent(cosines, torch.ones(12), alone)) == 0, "nothing says which pairs should be nearer"


# --- what the record says -------------------------------------------------------------------------------------


def test_several_seeds_are_one_record(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    dataset = toy("pairs")
    both = tuned(toy_model, dataset, *BRIEF, seeds=(1, 2), results=tmp_path / "both")
    apart = [tuned(toy_model, dataset, *BRIEF, seeds=(seed,)) for seed in (1, 2)]
    scores = [record.score or 0.0 for record in apart]
    assert scores[0] != scores[1]
    assert both.fine_tuning is not None
    assert [(run.seed, run.score) for run in both.fine_tuning.runs] == [(1, scores[0]), (2, scores[1])]
    assert both.score == pytest.approx(np.mean(scores))
    assert both.fine_tuning.spread == pytest.approx(np.std(scores, ddof=1))
    for language, found in both.languages.items():
        assert found.score == pytest.approx(np.mean([x.languages[language].score for x in apart]))
    (file,) = find_records(tmp_path / "both")
    taken = runs(read_items(file, read_record(file))["xx"])
    accuracy = dataset.shape.metrics["accuracy"]
    assert [accuracy.statistic(run) for run in taken] == [x.languages["xx"].score for x in apart]
    assert apart[0].fine_tuning is not None
    assert apart[0].fine_tuning.spread is None


def test_a_record_says_how_the_model_was_trained(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    record = tuned(toy_model, toy("staged"), "epochs=1", "sts.rate=1e-3", train_languages="xx", results=tmp_path)
    assert record.fine_tuning is not None
    assert [(x["name"], x["objective"], x["rate"]) for x in record.fine_tuning.stages] == [
        ("nli", "softmax", 1e-2),
        ("sts", "cosine", 1e-3),
    ]
    assert record.fine_tuning.stages[0]["data"] == "toy-nli"
    (run,) = record.fine_tuning.runs
    assert run.score == record.score
    # A tenth of NLI, which has no other split for that, chooses its weights.
    assert [(x["stage"], x["languages"], x["items"], x["steps"]) for x in run.stages] == [
        ("nli", ["xx", "yy"], 216, 14),
        ("sts", ["xx"], 120, 8),
    ]
    assert record.fine_tuning.train_languages == "xx,yy"
    assert run.stages[1]["best_step"] == 8
    assert run.stages[1]["dev"] is not None
    assert any("trained on train in xx (120 items); best by dev in xx (40 items)" in note for note in record.notes)
    kept = {file.name for file in trained(tmp_path)[0].rglob("*")}
    assert {"model.safetensors", "head.safetensors", "tokenizer.json", "tuned.json"} <= kept
    assert not any("state" in name or "best" in name for name in kept)


def test_the_key_of_a_record_follows_from_it(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    """So that a record which says other settings or other training data is told from the one that was made."""
    tuned(toy_model, toy("pairs"), *BRIEF, seeds=(1, 2), train_languages="xx", results=tmp_path)
    (file,) = find_records(tmp_path)
    content = json.loads(file.read_text("utf-8"))
    assert content["key"]["train_languages"] == "xx"

    def state() -> str:
        content["digest"] = record_digest(content)
        file.write_text(json.dumps(content), "utf-8")
        case = open_case(file)
        assert isinstance(case, Case)
        return next(finding.state for finding in verify(case) if finding.check == "file name")

    assert state() == "right"
    for name, value in {"train_languages": "all", "trained": "0" * 64}.items():
        kept, content["key"][name] = content["key"][name], value
        assert state() == "wrong"
        content["key"][name] = kept


def test_a_stage_can_train_on_another_split_of_its_data(toy: Open, toy_model: Any) -> None:
    record = tuned(toy_model, toy("staged"), "epochs=1", "nli.split=dev", "select=false")
    assert record.fine_tuning is not None
    assert [stage["items"] for stage in record.fine_tuning.runs[0].stages] == [80, 240]
    assert any("nli: trained on Toy: nli, dev (80 items)" in note for note in record.notes)
    with pytest.raises(UsageError, match=r"--set sts.split=dev: use --train-split dev"):
        tuned(toy_model, toy("staged"), "sts.split=dev")


def test_the_best_weights_are_kept(toy: Open, toy_model: Any) -> None:
    """At a rate that destroys what was learned, later looks are worse, and the patience ends the stage."""
    changes = ("epochs=30", "rate=0.05", "warmup=0", "evaluate_every=5", "patience=3", "decay=none")
    record = tuned(toy_model, toy("pairs"), *changes)
    assert record.fine_tuning is not None
    (stage,) = record.fine_tuning.runs[0].stages
    assert stage["steps"] < 450
    assert stage["best_step"] == stage["steps"] - 15
    last = tuned(toy_model, toy("pairs"), *changes, "select=false", "epochs=1")
    assert last.fine_tuning is not None
    assert last.fine_tuning.runs[0].stages[0]["dev"] is None


def test_halves_that_are_trained_on_are_not_scored(toy: Open, toy_model: Any) -> None:
    """With the scored split alone, each item is scored by the model that has not seen it."""
    dataset = toy("pairs")
    record = tuned(toy_model, dataset, train_split="test")
    assert record.fine_tuning is not None
    stages = record.fine_tuning.runs[0].stages
    assert len(stages) == 2
    assert any("cross-fitted" in note for note in record.notes)
    assert record.fine_tuning.train_split == "test"
    assert sum(stage["items"] for stage in stages) == pytest.approx(120 * 0.9, abs=4)  # a tenth chooses the weights


# --- going on -------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize(("name", "moments"), [("pairs", (10, 5, 12, 1)), ("staged", (10, 5, 30, 1))])
def test_a_run_that_is_killed_ends_as_an_unbroken_one(
    toy: Open, toy_model: Any, tmp_path: Path, name: str, moments: tuple[int, ...]
) -> None:
    changes = ("epochs=2", "evaluate_every=7")
    unbroken = tuned(toy_model, toy(name), *changes, results=tmp_path / "whole")

    def kill_at(moment: int) -> Callable[[TrainerStep], None]:
        steps = count(1)

        def kill(step: TrainerStep) -> None:
            if next(steps) == moment:
                raise Killed

        return kill

    for moment in moments:
        with pytest.raises(Killed):
            tuned(toy_model, toy(name), *changes, results=tmp_path / "killed", watch=kill_at(moment))
    steps: list[TrainerStep] = []
    again = tuned(toy_model, toy(name), *changes, results=tmp_path / "killed", watch=steps.append)
    assert steps[0].done > 1 or steps[0].stage == "sts"
    assert again.score == unbroken.score
    assert again.fine_tuning == unbroken.fine_tuning
    first, second = (
        [(file.name, file.read_bytes()) for file in sorted(trained(tmp_path / x)[0].rglob("*.safetensors"))]
        for x in ("whole", "killed")
    )
    assert first == second


def test_a_trained_model_is_used_again(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    first = tuned(toy_model, toy("pairs"), *BRIEF, results=tmp_path)
    steps: list[TrainerStep] = []
    other = tuned(toy_model, toy("pairs", languages=["xx"]), *BRIEF, results=tmp_path, watch=steps.append)
    assert steps == []
    assert other.languages["xx"].score == first.languages["xx"].score


def test_a_damaged_state_is_passed_over(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    changes = ("epochs=2", "evaluate_every=7")

    def kill(step: TrainerStep) -> None:
        if step.done == 20:
            raise Killed

    with pytest.raises(Killed):
        tuned(toy_model, toy("pairs"), *changes, results=tmp_path, watch=kill)
    (progress,) = tmp_path.rglob("state-*/progress.json")
    assert json.loads(progress.read_text())["step"] == 14
    progress.write_text("{")
    steps: list[TrainerStep] = []
    tuned(toy_model, toy("pairs"), *changes, results=tmp_path, watch=steps.append)
    assert steps[0].done == 1


# --- what goes wrong -------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_run(toy: Open, toy_model: Any, tmp_path: Path) -> None:
    with pytest.raises(XreteError, match=r"stage train, step \d+: the loss is .*use a lower rate"):
        tuned(toy_model, toy("score"), "rate=1e30", "clip=1e30", results=tmp_path)
    (file,) = find_records(tmp_path)
    assert read_record(file).status == "failed"


def test_no_training_data_is_said(toy: Open, toy_model: Any, toy_data: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    for language in ("xx", "yy"):
        (tmp_path / "toy" / f"{language}.test").touch()
    dataset = Dataset(toy("pairs").task, Folder(tmp_path))
    with pytest.raises(DataError, match=r"no 'train' to train on in .*--train-data, or .*--train-split"):
        tuned(toy_model, dataset)
    assert tuned(toy_model, dataset, *BRIEF, train_data=toy_data).status == "complete"
    with pytest.raises(UsageError, match="unknown split of toy-pairs 'tset'; did you mean test"):
        tuned(toy_model, dataset, train_split="tset")


def test_an_objective_that_the_data_is_not_for_is_refused(toy: Open, toy_model: Any) -> None:
    with pytest.raises(
        UsageError, match=r"objective=cosine: that stage of toy-pairs has data for classes or softmax"
    ):
        tuned(toy_model, toy("pairs"), "objective=cosine")
    pairs: Any = toy("pairs").task
    one = type(pairs)("one", "classification", "accuracy", pairs.card.recipes["toy"], rows="single")
    with pytest.raises(UsageError, match="softmax compares two texts, and these items have one"):
        tuned(toy_model, Dataset(one, toy("pairs").source), "objective=softmax")


def test_a_stage_without_data_says_which(toy: Open, toy_model: Any, toy_data: Path) -> None:
    staged: Any = toy("staged").task
    nowhere = replace(staged.card.recipes["toy"][0].task.card, layout="nli/train")

    class Absent:
        card = nowhere

        def files(self, language: str, split: str) -> list[str]:
            return [f"nli/{split}"]

    stages = staged.card.recipes["toy"]

    class Task:
        card = replace(staged.card, recipes={"toy": (replace(stages[0], task=Absent()), stages[1])})
        files = staged.files
        from_folder = staged.from_folder

    dataset = Dataset(Task(), Folder(toy_data))
    with pytest.raises(DataError, match=r"stage nli: .*or leave the stage out with --set nli\.epochs=0"):
        tuned(toy_model, dataset)
    assert tuned(toy_model, dataset, "sts.epochs=1", "nli.epochs=0").status == "complete"


def test_an_encoder_that_is_no_transformer_is_refused(toy: Open, new_ngrams: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="cannot be fine-tuned: it is no transformer"):
        tuned(new_ngrams(), toy("pairs"))


def test_float16_is_refused(toy: Open, toy_encoder: Path) -> None:
    model = xrete.load_model(f"hf:{toy_encoder}?pooling=mean", device="cpu", dtype="float16")
    with pytest.raises(UsageError, match="float16 overflows in training"):
        tuned(model, toy("pairs"))


def test_bfloat16_trains_weights_of_full_precision(toy: Open, toy_encoder: Path, tmp_path: Path) -> None:
    model = xrete.load_model(f"hf:{toy_encoder}?pooling=mean", device="cpu", dtype="bfloat16")
    record = tuned(model, toy("pairs"), results=tmp_path)
    assert record.score is not None
    assert record.score > 95
    (folder,) = trained(tmp_path)
    assert {x.dtype for x in load_file(folder / "model" / "model.safetensors").values()} == {torch.float32}
