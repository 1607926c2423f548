"""Recipes: chosen by name, changed by setting or by stage and setting; what is wrong is one clear sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrete import registry
from xrete.errors import UsageError
from xrete.shapes import load_shape
from xrete.shapes.contract import TrainShape, ZeroShotShape
from xrete.task import Stage, TaskCard
from xrete.training.finetune.objectives import OBJECTIVES
from xrete.training.finetune.overrides import choose, described


def card(name: str) -> TaskCard:
    return registry.task(name).card


TUNED = [name for name in registry.names("tasks") if "fine-tune" in card(name).protocols]


def test_the_first_recipe_is_taken_where_none_is_named() -> None:
    for name in TUNED:
        recipes = card(name).recipes
        assert choose(card(name), None, ()) == next(iter(recipes.values()))
        for recipe, stages in recipes.items():
            assert choose(card(name), recipe, ()) == stages


def test_the_paper_fine_tunes_these() -> None:
    assert set(TUNED) == {
        "xnli", "americasnli", "pawsx", "xcopa", "multists", "qe", "multieurlex", "multiarc", "lareqa", "mewslix",
    }  # fmt: skip


def test_recipes_fit_what_they_train_on() -> None:
    """Stages have unlike names, an objective that their data has targets for, and end in a model that is scored."""
    for name in TUNED:
        for stages in card(name).recipes.values():
            assert len({stage.name for stage in stages}) == len(stages)
            for stage in stages:
                trained = stage.task.card if stage.task else card(name)
                shape = load_shape(trained.shape)
                assert isinstance(shape, TrainShape)
                assert stage.objective in shape.objectives
                assert "train" in trained.training or stage.task is None
            last = OBJECTIVES[stages[-1].objective]
            if last.trains_encoder and last.head != "comparison":  # whose head may be what is scored
                assert isinstance(load_shape(card(name).shape), ZeroShotShape)


@pytest.mark.parametrize(
    ("task", "recipe", "objective", "epochs", "rate", "batch", "max_length", "every", "patience"),
    [
        ("xnli", "translate-train", "classes", 2, 1e-5, 32, 128, 2500, 0),
        ("xnli", "xtreme", "classes", 5, 3e-5, 32, 128, 100, 0),
        ("xnli", "siamese", "softmax", 1, 2e-5, 16, 128, 0, 0),
        ("americasnli", "translate-train", "classes", 5, 5e-6, 16, 256, 2500, 15),
        ("americasnli", "english", "classes", 5, 5e-6, 16, 256, 2500, 15),
        ("pawsx", "translate-train", "classes", 4, 1e-5, 32, 128, 1000, 0),
        ("pawsx", "xtreme", "classes", 5, 2e-5, 32, 128, 200, 0),
        ("qe", "siamese", "cosine", 4, 2e-5, 16, 128, 0, 0),
        ("qe", "cosent", "cosent", 4, 2e-5, 16, 128, 0, 0),
        ("multists", "cosent", "cosent", 4, 2e-5, 16, 128, 0, 0),
        ("multists", "quality", "cosent", 4, 2e-5, 16, 128, 0, 0),
        ("qe", "cross", "score", 4, 2e-5, 16, 200, 0, 0),
        ("multieurlex", "multieurlex", "labels", 70, 3e-5, 8, 512, 0, 5),
        ("multiarc", "translate-train", "classes", 2, 1e-5, 32, 256, 0, 0),
    ],
)
def test_recipes_of_one_stage(
    task: str, recipe: str, objective: str, epochs: int, rate: float, batch: int, max_length: int, every: int,
    patience: int,
) -> None:  # fmt: skip
    (x,) = choose(card(task), recipe, ())
    found = (x.objective, x.epochs, x.rate, x.batch, x.max_length, x.evaluate_every, x.patience)
    assert found == (objective, epochs, rate, batch, max_length, every, patience)
    assert x.select
    # MultiEURLEX's trainer: the rate stays, no dense layer in the head, each law once an epoch in some language.
    special = (x.decay, x.head, x.one_language)
    assert special == (("none", "linear", True) if task == "multieurlex" else ("linear", "dense", False))


SETTINGS = {
    "sentence-bert": [("nli", "softmax", 1, 16, 2e-5, 0.1, False), ("sts", "cosine", 4, 16, 2e-5, 0.1, True)],
    "xtreme": [("siqa", "choices", 5, 32, 3e-5, 0.0, False), ("copa", "choices", 5, 32, 3e-5, 0.0, False)],
    "lareqa": [("squad", "in-batch", 3, 16, 2e-5, 0.0, True)],
    "mewslix": [("wikipedia", "in-batch", 2, 32, 1e-5, 0.0, True)],
}


@pytest.mark.parametrize(
    ("task", "recipe"),
    [("multists", "sentence-bert"), ("xcopa", "xtreme"), ("lareqa", "xtreme-r"), ("mewslix", "xtreme-r")],
)
def test_the_published_settings(task: str, recipe: str) -> None:
    stages = choose(card(task), recipe, ())
    found = [(x.name, x.objective, x.epochs, x.batch, x.rate, x.warmup, x.select) for x in stages]
    assert found == SETTINGS.get(recipe, SETTINGS.get(task))
    assert all((x.decay, x.weight_decay, x.clip) == ("linear", 0.0, 1.0) for x in stages)


def test_lengths_of_retrieval() -> None:
    (squad,), (wikipedia,) = (choose(card(name), None, ()) for name in ("lareqa", "mewslix"))
    assert (squad.max_length, squad.max_length_second) == (96, 256)
    assert (wikipedia.max_length, wikipedia.max_length_second or wikipedia.max_length) == (64, 64)


def test_a_setting_changes_every_stage_or_one() -> None:
    nli, sts = choose(card("multists"), None, ("batch=8", "sts.rate=1e-5", " nli.epochs = 2 ", "sts.batch=4"))
    assert (nli.batch, nli.rate, nli.epochs) == (8, 2e-5, 2)
    assert (sts.batch, sts.rate, sts.epochs) == (4, 1e-5, 4)
    assert card("multists").recipes["sentence-bert"][0].batch == 16, "the card's recipe stays"


def test_every_kind_of_value() -> None:
    said = ("select=false", "decay=none", "head=linear", "objective=score", "dropout=0.2", "patience=3")
    (stage,) = choose(card("qe"), "cross", (*said, "one_language=true"))
    assert (stage.select, stage.one_language) == (False, True)
    assert (stage.decay, stage.head, stage.objective) == ("none", "linear", "score")
    assert (stage.dropout, stage.patience) == (0.2, 3)
    assert choose(card("qe"), "cross", ("select=true",))[0].select is True


def test_no_epochs_leave_a_stage_out() -> None:
    assert [stage.name for stage in choose(card("multists"), None, ("nli.epochs=0",))] == ["sts"]
    assert [stage.name for stage in choose(card("multists"), None, ("sts.epochs=0",))] == ["nli"]
    with pytest.raises(UsageError, match="every stage of multists has 0 epochs; leave one in"):
        choose(card("multists"), None, ("epochs=0",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs", "--set 'epochs': write KEY=VALUE or STAGE.KEY=VALUE"),
        ("nil.epochs=1", "unknown stage 'nil'; did you mean nli"),
        ("epoch=1", "unknown setting 'epoch'; did you mean epochs"),
        ("task=1", "unknown setting 'task'"),
        ("name=x", "unknown setting 'name'"),
        ("sts.=1", "unknown setting ''"),
        ("epochs=two", "--set epochs=two: not a number"),
        ("epochs=1.5", "--set epochs=1.5: not a number"),
        ("epochs=-1", "--set epochs=-1: use a number of at least 0"),
        ("batch=0", "--set batch=0: use a number of at least 1"),
        ("max_length=4", "--set max_length=4: use a number of at least 8"),
        ("rate=nan", "--set rate=nan: use a number of at least 0"),
        ("rate=inf", "--set rate=inf: use a number of at least 0"),
        ("rate=", "--set rate=: not a number"),
        ("select=yes", "--set select=yes: use one of true, false"),
        ("decay=cosine", "--set decay=cosine: use one of linear, none"),
        ("sts.split=dve", "unknown split of stsb 'dve'; did you mean dev"),
        ("objective=class", "--set objective=class: use one of classes, labels"),
    ],
)
def test_what_is_wrong_with_a_change(change: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        choose(card("multists"), None, (change,))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_recipe() -> None:
    with pytest.raises(UsageError, match="unknown recipe of americasnli 'englsh'; did you mean english"):
        choose(card("americasnli"), "englsh", ())


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_rates_are_read_exactly_or_refused(value: float) -> None:
    if math.isfinite(value) and value >= 0:
        assert choose(card("qe"), None, (f"rate={value!r}",))[0].rate == value
    else:
        with pytest.raises(UsageError, match="use a number of at least 0"):
            choose(card("qe"), None, (f"rate={value!r}",))


def test_what_records_say_of_a_stage() -> None:
    nli, _ = choose(card("multists"), None, ("nli.epochs=2",))
    said = described(nli)
    assert (said["name"], said["data"], said["epochs"]) == ("nli", "snli", 2)
    assert "task" not in said
    assert "data" not in described(Stage(objective="classes", epochs=1, rate=1e-5, batch=8))


def test_unlike_data_is_called_by_unlike_names() -> None:
    names: dict[str, Any] = {}
    for task in TUNED:
        for stages in card(task).recipes.values():
            for stage in stages:
                if stage.task:
                    assert names.setdefault(stage.task.card.name, stage.task) is stage.task
