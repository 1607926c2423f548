"""The encoder that comes with XRETE: small, whole, with its card, and better than chance."""

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

import xrete
from xrete.models.emmax.folders import EMBEDDED, TRAINING

MOST_BYTES = 8_000_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoints of the user's below the working folder."""
    monkeypatch.chdir(tmp_path)


def test_it_is_small_and_says_how_it_was_made() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*") if path.is_file()) < MOST_BYTES
    card = json.loads((EMBEDDED / TRAINING).read_text("utf-8"))
    assert card["phase"] == "em"
    assert card["overlap"]["found"] == 0, "no test sentence was trained on"
    assert "/" not in json.dumps(card["corpora"])


def test_emmax_alone_is_the_embedded_encoder_and_finds_translations() -> None:
    model = xrete.load_model("emmax", device="cpu")
    assert model.identity.name == "emmax:embedded"
    task = xrete.load_task("tatoeba", data="mini", languages=["de", "fr", "es", "it", "nl", "pl"])
    record = xrete.evaluate(model, task, use_cache=False)
    assert record.model.training is not None
    assert record.model.training["phases"] == ["encoder", "classifier", "em"]
    chance = 100 / next(iter(record.languages.values())).n
    assert record.score is not None
    assert record.score > 3 * chance


def test_sentence_transformers_gives_the_same_vectors() -> None:
    texts = ["The file was saved.", "Die Datei wurde gespeichert.", "ファイルを保存しました。"]
    ours = xrete.load_model("emmax", device="cpu").encode(texts)
    theirs = SentenceTransformer(str(EMBEDDED), device="cpu", model_kwargs={"dtype": "float32"}).encode(texts)
    assert abs(ours - theirs).max() < 1e-5
