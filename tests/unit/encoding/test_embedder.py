"""Texts to unit vectors: each text once, in order, from the cache where it is there, and never nonsense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.encoding.cache import DiskCache
from xrete.encoding.embedder import PROBE, Embedder, take_probe
from xrete.errors import XreteError
from xrete.model import Encoder

NewNgrams = Callable[..., Any]
Given = Callable[[Sequence[str]], Any]

TEXTS = [f"{word} {number}" for number in range(9) for word in ("red", "blue", "green")]


class Says:
    """An encoder that returns what a function says, and notes what it was asked."""

    def __init__(self, says: Given, chunk_size: int = 1024) -> None:
        self.says = says
        self.chunk_size = chunk_size
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str], /) -> Any:
        self.asked.append(list(texts))
        return self.says(texts)


def lengths(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[len(text), 1 + sum(map(ord, text)), 3] for text in texts], dtype=np.float32)


@given(
    texts=st.lists(st.sampled_from(["", "a", "b", "ab", "ba", "ü", "c" * 50]), min_size=1), chunk=st.integers(1, 9)
)
def test_every_text_is_encoded_once_and_comes_back_in_its_place(texts: list[str], chunk: int) -> None:
    encoder = Says(lengths, chunk)
    embedder = Embedder(encoder)
    vectors = embedder(texts)
    expected = lengths(texts).astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(vectors - expected).max() < 1e-6
    assert vectors.dtype == np.float32
    assert [text for part in encoder.asked for text in part] == list(dict.fromkeys(texts))
    assert max(map(len, encoder.asked)) <= chunk
    assert embedder.encoded == len(set(texts))
    assert embedder.cached == len(texts) - len(set(texts))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_vectors_have_unit_length_at_any_scale(scale: float) -> None:
    vectors = Embedder(Says(lambda texts: lengths(texts) * np.float32(scale)))(TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-6)


@pytest.mark.parametrize(
    "returned",
    [
        lambda texts: lengths(texts).tolist(),
        lambda texts: lengths(texts).astype(np.float64),
        lambda texts: np.asfortranarray(lengths(texts)),
        lambda texts: lengths(texts).astype(np.float16),
        lambda texts: list(lengths(texts)),
    ],
)
def test_any_array_will_do(returned: Given) -> None:
    assert Embedder(Says(returned))(TEXTS) == pytest.approx(Embedder(Says(lengths))(TEXTS), abs=1e-3)


def test_the_cache_is_asked_first(tmp_path: Path, new_ngrams: NewNgrams) -> None:
    steps: list[tuple[int, int]] = []
    with DiskCache(tmp_path, "model") as cache:
        first = Embedder(new_ngrams(), cache)
        first(TEXTS[:10])
        encoder = new_ngrams()
        second = Embedder(encoder, cache, lambda encoded, cached: steps.append((encoded, cached)))
        vectors = second([*TEXTS[:15], TEXTS[0]])
    assert (first.encoded, first.cached) == (10, 0)
    assert encoder.encoded == TEXTS[10:15]
    assert (second.encoded, second.cached) == (5, 11)
    assert [sum(column) for column in zip(*steps, strict=True)] == [5, 11]
    assert vectors.tobytes() == Embedder(new_ngrams())([*TEXTS[:15], TEXTS[0]]).tobytes()


def test_chunks_do_not_depend_on_what_was_encoded_before(tmp_path: Path) -> None:
    """A run that was killed between two chunks goes on with the same chunks, so with the same bits."""
    whole, resumed = Says(lengths, 8), Says(lengths, 8)
    Embedder(whole)(TEXTS)
    with DiskCache(tmp_path, "model") as cache:
        Embedder(Says(lengths, 8), cache)(TEXTS[:16])
        Embedder(resumed, cache)(TEXTS)
    assert resumed.asked == whole.asked[2:]


def test_only_the_time_of_the_model_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the cache, nor of what tells progress."""
    now = [0.0]
    monkeypatch.setattr("xrete.encoding.embedder.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    class Slow:
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            pass_time(0.5 * len(texts))
            return np.ones((len(texts), 2), dtype=np.float32)

    embedder = Embedder(Slow(), progress=lambda encoded, cached: pass_time(100.0))
    embedder(["one", "two", "one"])
    embedder(["three"])
    assert embedder.seconds == 1.5


def test_progress_within_a_call_is_counted_once() -> None:
    """An encoder that tells the harness of its batches is not counted a second time at the end."""

    class Telling(Says):
        on_progress: Callable[[int], None] | None = None

        def encode(self, texts: Sequence[str], /) -> Any:
            assert self.on_progress is not None
            self.on_progress(2)
            self.on_progress(1)
            return super().encode(texts)

    steps: list[int] = []
    embedder = Embedder(Telling(lengths), progress=lambda encoded, cached: steps.append(encoded))
    embedder(TEXTS[:5])
    assert embedder.encoded == 5
    assert [step for step in steps if step] == [2, 1, 2]


def broken(value: float, at: str) -> Given:
    def says(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = lengths(texts)
        for row, text in enumerate(texts):
            if text == at:
                vectors[row, 1] = value
        return vectors

    return says


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_names_its_sentence(value: float) -> None:
    with pytest.raises(
        XreteError, match=r"not finite or zero for 1 of 27 sentences, the first one is 'blue 4'; try"
    ):
        Embedder(Says(broken(value, "blue 4")))(TEXTS)


def test_a_zero_vector_names_its_sentence() -> None:
    with pytest.raises(XreteError, match="not finite or zero for 9 of 27 sentences, the first one is 'green 0'"):
        Embedder(Says(lambda texts: lengths(texts) * [["green" not in text] for text in texts]))(TEXTS)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda texts: lengths(texts)[:-1], r"returned shape \(26, 3\) for 27 sentences; expected \[n, d\]"),
        (lambda texts: lengths(texts)[0], r"returned shape \(3,\) for 27 sentences"),
        (lambda texts: lengths(texts)[None], r"returned shape \(1, 27, 3\) for 27 sentences"),
        (lambda texts: [[1.0] * (1 + row % 2) for row, _ in enumerate(texts)], "returned no array of numbers"),
        (lambda texts: ["vector"] * len(texts), "returned no array of numbers"),
        (lambda texts: None, r"returned shape \(\)"),
        (lambda texts: np.zeros((len(texts), 0)), "not finite or zero for 27 of 27"),
    ],
)
def test_what_is_no_matrix_of_vectors_is_said(returned: Given, says: str) -> None:
    with pytest.raises(XreteError, match=says):
        Embedder(Says(returned))(TEXTS)
    with pytest.raises(XreteError, match="the model"):
        take_probe(Says(returned))


def test_nothing_wrong_is_kept(tmp_path: Path) -> None:
    with DiskCache(tmp_path, "model") as cache:
        with pytest.raises(XreteError):
            Embedder(Says(broken(np.nan, "blue 4"), chunk_size=5), cache)(TEXTS)
        kept = cache.get(TEXTS)
    assert set(kept) == set(TEXTS[:10])  # the chunks before the broken one


class Truncating(Says):
    def truncated(self, texts: Sequence[str], /) -> NDArray[np.bool_]:
        return np.array([len(text) > 6 for text in texts])


def test_truncated_texts_are_counted(tmp_path: Path) -> None:
    long = sum(len(text) > 6 for text in TEXTS)
    assert 0 < long < len(TEXTS)
    with DiskCache(tmp_path, "model") as cache:
        for _ in range(2):  # the second time from the cache
            embedder = Embedder(Truncating(lengths, 4), cache)
            embedder([*TEXTS, *TEXTS])
            assert embedder.truncated == long


def test_a_model_that_does_not_say_has_an_unknown_count(tmp_path: Path) -> None:
    """Unknown is not none: once a vector of such a model is used, the count is unknown."""
    with DiskCache(tmp_path, "model") as cache:
        silent = Embedder(Says(lengths), cache)
        assert silent.truncated == 0
        silent(TEXTS[:5])
        assert silent.truncated is None
        mixed = Embedder(Truncating(lengths), cache)
        mixed(TEXTS[5:])
        assert mixed.truncated is not None
        mixed(TEXTS)
        assert mixed.truncated is None


def test_the_fingerprint_tells_models_apart(new_ngrams: NewNgrams) -> None:
    first, again = take_probe(new_ngrams()), take_probe(new_ngrams())
    assert first == again
    assert first.dimension == new_ngrams().encode(list(PROBE)).shape[1]
    assert first.fingerprint.sketch[0] == 1.0
    assert len(first.fingerprint.sketch) == len(PROBE)
    assert first.fingerprint.tokenizer is None

    class Prefixed:
        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            vectors: NDArray[np.float32] = new_ngrams().encode([f"query: {text}" for text in texts])
            return vectors

    other = take_probe(Prefixed()).fingerprint
    assert other.embeddings != first.fingerprint.embeddings
    assert other.sketch != first.fingerprint.sketch


def test_the_fingerprint_is_of_the_tokens_too(new_ngrams: NewNgrams) -> None:
    def of(ids: list[int]) -> str | None:
        encoder = new_ngrams()
        encoder.token_ids = lambda texts: [ids for _ in texts]
        return take_probe(encoder).fingerprint.tokenizer

    assert of([1, 23]) == of([1, 23])
    assert len({of([1, 23]), of([12, 3]), of([123]), None}) == 4


def test_the_fingerprint_does_not_see_scale_or_last_bits(new_ngrams: NewNgrams) -> None:
    class Scaled:
        def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            return np.asarray(new_ngrams().encode(texts) * 7.3, dtype=np.float32)

    assert take_probe(Scaled()).fingerprint.sketch == take_probe(new_ngrams()).fingerprint.sketch


def test_the_probe_never_changes() -> None:
    """Fingerprints of published records are over these sentences."""
    from xrete.files import digest

    assert len(PROBE) == 16
    assert digest(PROBE)[:16] == "e7ec5a51664a7182"


def test_any_object_with_encode_is_an_encoder(new_ngrams: NewNgrams) -> None:
    assert isinstance(new_ngrams(), Encoder)
    assert isinstance(Says(lengths), Encoder)
    assert not isinstance(object(), Encoder)
