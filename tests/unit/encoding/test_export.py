"""An exported model gives the same vectors in sentence-transformers as in XRETE."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from xrete import load_model
from xrete.cli.app import app
from xrete.encoding.export import export
from xrete.errors import UsageError
from xrete.models.emmax.vocabulary import read_tokenizer, train_tokenizer

TEXTS = ["A cat sleeps on the warm stone.", "Eine Katze schläft auf dem warmen Stein.", "x", "", "A long day " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer with a pooler, as save_pretrained writes it."""
    place = tmp_path_factory.mktemp("model")
    texts = [*TEXTS, "a b c d e f g h i j k l m n o p q r s t u v w x y z"] * 4
    (place / "pieces.json").write_text(train_tokenizer(texts, 120), encoding="utf-8")
    tokenizer = read_tokenizer(place / "pieces.json", 64)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
@pytest.mark.parametrize("prefix", ["", "query: "])
def test_vectors_are_the_same_there_and_back(folder: Path, tmp_path: Path, pooling: str, prefix: str) -> None:
    model = load_model(f"hf:{folder}?pooling={pooling}&prefix={prefix}", device="cpu")
    export(model.encoder, tmp_path / "out")
    ours = model.encode(TEXTS)
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(TEXTS, normalize_embeddings=False)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    np.testing.assert_allclose(load_model(f"st:{tmp_path / 'out'}", device="cpu").encode(TEXTS), ours, atol=1e-5)


def test_half_precision_halves_the_file_and_loads(folder: Path, tmp_path: Path) -> None:
    model = load_model(f"hf:{folder}?pooling=mean", device="cpu")
    sizes = []
    for dtype in ("float32", "float16"):
        export(model.encoder, tmp_path / dtype, dtype=dtype)
        sizes.append((tmp_path / dtype / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.65 * sizes[0]
    again = load_model(f"st:{tmp_path / 'float16'}", device="cpu").encode(TEXTS)
    np.testing.assert_allclose(again, model.encode(TEXTS), atol=1e-2)


def test_nothing_is_overwritten_and_only_transformers_are_exported(folder: Path, tmp_path: Path) -> None:
    model = load_model(f"hf:{folder}?pooling=cls", device="cpu")
    with pytest.raises(UsageError, match="exists"):
        export(model.encoder, tmp_path)
    no_transformer: Any = object()
    with pytest.raises(UsageError, match="only transformer models"):
        export(no_transformer, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", f"hf:{folder}?pooling=mean", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "modules.json").is_file()
