"""The Python interface: `xrete.load_model`, `xrete.load_task`, `xrete.evaluate`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xrete
from xrete.dataset import MiniSampleWarning, open_dataset
from xrete.encoding.embedder import Embedder
from xrete.evaluation.plan import RunOptions
from xrete.model import LoadedModel, LoadOptions
from xrete.models.sentence_transformer import PlainSentenceTransformer
from xrete.models.transformer import EncodingRecipe
from xrete.registry import request_model

FROM_THE_COMMAND_LINE = {"command", "cache_limit_bytes"}
"""Options of a run that a program has no use for."""


def test_every_public_name_is_there() -> None:
    for name in xrete.__all__:
        assert getattr(xrete, name) is not None
    with pytest.raises(AttributeError, match="module 'xrete' has no attribute 'absent'"):
        _ = xrete.absent


@pytest.mark.parametrize(
    ("public", "full", "left_out"),
    [
        (xrete.load_model, request_model, set()),
        (xrete.load_task, open_dataset, {"task"}),
        (xrete.evaluate, RunOptions, FROM_THE_COMMAND_LINE),
    ],
)
def test_options_are_named_typed_and_complete(public: Any, full: Any, left_out: set[str]) -> None:
    options = inspect.signature(public).parameters
    assert not any(option.kind is option.VAR_KEYWORD for option in options.values())
    assert all(option.annotation is not option.empty for option in options.values())
    assert set(inspect.signature(full).parameters) - left_out <= set(options)
    assert all(f"{name}: " in inspect.cleandoc(public.__doc__) for name in options)


def test_results_may_be_named_by_a_string(new_ngrams: Callable[..., Any], tmp_path: Path) -> None:
    xrete.evaluate(new_ngrams(), xrete.load_task("tatoeba", "mini", languages=["de"]), results=str(tmp_path))
    assert len(list(tmp_path.rglob("tatoeba.*.json"))) == 1


def test_one_string_is_refused_by_a_loaded_model(
    new_ngrams: Callable[..., Any], model_of: Callable[..., LoadedModel]
) -> None:
    model = model_of(new_ngrams())
    assert model.encode(["a whole text"]).shape[0] == 1
    with pytest.raises(
        TypeError, match=r"a list of texts, and was given one string; use encode\(\['a whole text'\]\)"
    ):
        model.encode("a whole text")
    with pytest.raises(TypeError, match="one string"):
        Embedder(model.encoder)("a whole text")


@pytest.mark.parametrize("name", ["emmax", "use-m3"])
def test_one_string_is_refused_by_every_encoder(name: str) -> None:
    encoder = xrete.load_model(name, device="cpu").encoder
    assert encoder.encode(["a whole text"]).shape[0] == 1
    with pytest.raises(TypeError, match="one string"):
        encoder.encode("a whole text")


def test_one_string_is_refused_by_a_folder_of_sentence_transformers() -> None:
    from xrete.models.emmax.folders import EMBEDDED

    model = PlainSentenceTransformer(EMBEDDED, EncodingRecipe(pooling="mean"), LoadOptions(device="cpu"))
    assert np.isfinite(model.encode(["a whole text"])).all()
    with pytest.raises(TypeError, match="one string"):
        model.encode("a whole text")


def test_the_mini_sample_in_place_of_data_is_a_warning() -> None:
    with pytest.warns(xrete.MiniSampleWarning, match="tatoeba is scored on the mini sample.*cannot get data set"):
        dataset = xrete.load_task("tatoeba", languages=["de"])
    assert dataset.source.kind == "mini"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xrete.load_task("tatoeba", "mini", languages=["de"])


def test_the_command_line_says_it_in_its_own_way(xrete: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", MiniSampleWarning)
        done = xrete("data", "verify", "tatoeba", "--languages", "de")
    assert "MINI SAMPLE" in done.stderr
    assert done.stdout == "tatoeba, test: 1 of 1 languages, 72 items\n"
