"""Batches: every epoch is a permutation, shares are as asked, and any batch is followed by the same ones again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xrete.errors import UsageError
from xrete.models.emmax.corpora import Batch, DataConfig, Prepared, Sampler, prepare
from xrete.models.emmax.corpora.digests import text_digests
from xrete.models.emmax.corpora.permutation import order_key, permute

MONOLINGUAL = {"de": 200, "fr": 50, "sw": 7}
PARALLEL = {"de-en": 60, "en-sw": 9}


def corpora(folder: Path, monolingual: Mapping[str, int], parallel: Mapping[str, int]) -> Prepared:
    for code, size in monolingual.items():
        (folder / f"{code}.txt").write_text("".join(f"{code} text {n}\n" for n in range(size)), "utf-8")
    for pair, size in parallel.items():
        one, other = pair.split("-")
        lines = (f"{one} side {n}\t{other} side {n}\n" for n in range(size))
        (folder / f"{pair}.tsv").write_text("".join(lines), "utf-8")
    sources: dict[str, Any] = {}
    if monolingual:
        sources["monolingual"] = [{"kind": "text", "path": f"{folder}/{{language}}.txt"}]
    if parallel:
        sources["parallel"] = [{"kind": "tsv", "path": f"{folder}/{{source}}-{{target}}.tsv"}]
    return prepare(DataConfig.model_validate(sources), folder / "prepared")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return corpora(tmp_path_factory.mktemp("corpora"), MONOLINGUAL, PARALLEL)


def sampler(prepared: Prepared, **settings: Any) -> Sampler:
    return Sampler(prepared, **{"seed": 0, "parallel_exponent": 0.5, "monolingual_exponent": 0.3, **settings})


def same(one: Batch, other: Batch) -> bool:
    return (
        (one.texts, one.languages, one.position) == (other.texts, other.languages, other.position)
        and np.array_equal(one.partners, other.partners)
        and np.array_equal(one.ids, other.ids)
    )


def order(size: int, key: str, places: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """What stands at some, or all, places of one order."""
    places = np.arange(size) if places is None else places
    found: NDArray[np.int64] = permute(
        places, np.full(len(places), size), np.tile(order_key(key), (len(places), 1))
    )
    return found


@given(st.integers(1, 3_000), st.text(max_size=5))
def test_an_order_is_a_permutation(size: int, key: str) -> None:
    assert np.array_equal(np.sort(order(size, key)), np.arange(size))


@given(st.integers(1, 2**62), st.integers(0, 2**62))
def test_an_order_is_known_at_any_place(size: int, start: int) -> None:
    places = np.unique(np.array([start % size, size - 1, size // 2]))
    found = order(size, "x", places)
    assert len(set(found.tolist())) == len(places)
    assert 0 <= found.min() <= found.max() < size
    assert np.array_equal(order(size, "x", places[:1]), found[:1])


def test_several_orders_at_once() -> None:
    sizes, keys = np.array([5, 100, 5, 1, 70_000]), [*"abcab"]
    together = permute(np.array([4, 99, 4, 0, 12_345]), sizes, np.stack([order_key(key) for key in keys]))
    places = [4, 99, 4, 0, 12_345]
    apart = [order(n, k, np.array([place]))[0] for n, k, place in zip(sizes.tolist(), keys, places, strict=True)]
    assert together.tolist() == apart


def test_orders_look_random() -> None:
    """Each number is equally often at each place, and neighbours are not kept together."""
    size, keys = 11, 5_500
    orders = np.array([order(size, str(key)) for key in range(keys)])
    for place in range(size):
        counts = np.bincount(orders[:, place], minlength=size)
        chi_squared = ((counts - keys / size) ** 2 / (keys / size)).sum()
        assert chi_squared < 35  # of 10 degrees of freedom: 35 is exceeded with a probability of 1e-4
    steps = np.bincount((orders[:, 1] - orders[:, 0]) % size, minlength=size)[1:]
    assert ((steps - keys / (size - 1)) ** 2 / (keys / (size - 1))).sum() < 35
    large = order(100_000, "x")
    assert abs(np.corrcoef(large, np.arange(100_000))[0, 1]) < 0.02
    assert abs(np.corrcoef(large[1:], large[:-1])[0, 1]) < 0.02


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 2**32))
def test_every_epoch_is_a_permutation(prepared: Prepared, counts: list[int], seed: int) -> None:
    draws = sampler(prepared, seed=seed)
    drawn: dict[str, list[str]] = {}
    for count in counts:
        batch = draws.sentences(count)
        assert len(batch.texts) == count
        for text, language in zip(batch.texts, batch.languages, strict=True):
            drawn.setdefault(language, []).append(text)
    for language, texts in drawn.items():
        size = MONOLINGUAL[language]
        for start in range(0, len(texts), size):
            epoch = texts[start : start + size]
            assert len(set(epoch)) == len(epoch)
            if len(epoch) == size:
                assert set(epoch) == {f"{language} text {n}" for n in range(size)}


def test_epochs_and_seeds_differ(prepared: Prepared) -> None:
    def texts(seed: int) -> list[str]:
        draws = sampler(prepared, seed=seed, monolingual_exponent=0.0)
        return [text for text in draws.sentences(120).texts if text.startswith("sw")]

    first, second = texts(1), texts(2)
    assert first[:7] != first[7:14] != first[14:21]
    assert first[:7] != second[:7]


@given(st.data())
def test_a_sampler_goes_on_from_any_batch(prepared: Prepared, data: st.DataObject) -> None:
    asked = st.tuples(st.sampled_from(["bitexts", "sentences", "mixed"]), st.integers(0, 30), st.floats(0, 1))
    steps = data.draw(st.lists(asked, min_size=2, max_size=8))
    stop = data.draw(st.integers(1, len(steps) - 1))

    def draw(draws: Sampler, step: tuple[str, int, float]) -> Batch:
        kind, count, fraction = step
        return draws.mixed(count, fraction) if kind == "mixed" else getattr(draws, kind)(count)

    unbroken = sampler(prepared)
    batches = [draw(unbroken, step) for step in steps]
    position = json.loads(json.dumps(batches[stop - 1].position))
    resumed = sampler(prepared, position=position)
    assert all(same(draw(resumed, step), batch) for step, batch in zip(steps[stop:], batches[stop:], strict=True))


def test_several_readers_see_the_same_stream(prepared: Prepared) -> None:
    def stream(_: int) -> list[Batch]:
        draws = sampler(prepared)
        return [draws.mixed(20, 0.5) for _ in range(30)]

    with ThreadPoolExecutor(4) as pool:
        alone, *others = [stream(0), *pool.map(stream, range(4))]
    assert all(same(a, b) for other in others for a, b in zip(alone, other, strict=True))


def test_a_batch_keeps_its_position(prepared: Prepared) -> None:
    draws = sampler(prepared)
    first = draws.sentences(5)
    kept = dict(first.position)
    draws.sentences(5)
    assert first.position == kept
    assert sum(kept.values()) == 5 + 1  # rows, and one batch


def test_bitexts_are_pairs(prepared: Prepared) -> None:
    draws = sampler(prepared)
    sides = Counter[str]()
    for _ in range(50):
        batch = draws.bitexts(8)
        assert len(batch.texts) == 16
        assert np.array_equal(batch.partners, [*range(8, 16), *range(8)])
        for source, target in zip(range(8), range(8, 16), strict=True):
            pair = {batch.texts[row].split()[0]: batch.texts[row].split()[2] for row in (source, target)}
            assert "-".join(sorted(pair)) in PARALLEL
            assert len(set(pair.values())) == 1
            assert [batch.languages[row] for row in (source, target)] == list(pair)
            sides[batch.languages[source]] += 1
    assert abs(sides["en"] - 200) < 40  # binomial with n = 400: 4 standard deviations


def test_ids_are_digests(prepared: Prepared) -> None:
    batch = sampler(prepared).sentences(100)
    assert batch.ids.dtype == batch.partners.dtype == np.int64
    assert np.array_equal(batch.ids, text_digests(batch.texts))
    assert (batch.partners == -1).all()


@pytest.mark.parametrize(
    ("count", "fraction", "pairs"),
    [(10, 0.0, 0), (10, 1.0, 5), (11, 1.0, 5), (10, 0.5, 2), (100, 0.3, 15), (0, 0.5, 0)],
)
def test_mixed(prepared: Prepared, count: int, fraction: float, pairs: int) -> None:
    batch = sampler(prepared).mixed(count, fraction)
    assert len(batch.texts) == count
    assert batch.partners.tolist() == [*range(pairs, 2 * pairs), *range(pairs), *[-1] * (count - 2 * pairs)]
    assert [" side " in text for text in batch.texts] == [True] * 2 * pairs + [False] * (count - 2 * pairs)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
def test_shares(prepared: Prepared, exponent: float) -> None:
    draws = sampler(prepared, monolingual_exponent=exponent, parallel_exponent=exponent)
    total, batches = 20_000, 10
    found = Counter(x for _ in range(batches) for x in draws.sentences(total // batches).languages)
    weights = {code: size**exponent for code, size in MONOLINGUAL.items()}
    for code, weight in weights.items():
        share = weight / sum(weights.values())
        assert draws.shares[f"monolingual/{code}"] == pytest.approx(share)
        assert abs(found[code] - total * share) < 4.5 * np.sqrt(total * share * (1 - share))
    expected = PARALLEL["en-sw"] ** exponent / sum(size**exponent for size in PARALLEL.values())
    assert draws.shares["parallel/en-sw"] == pytest.approx(expected)


def test_what_is_not_there(tmp_path: Path, prepared: Prepared) -> None:
    monolingual = sampler(Prepared({}, prepared.monolingual))
    with pytest.raises(UsageError, match=r"no bitexts: give data\.parallel"):
        monolingual.bitexts(1)
    assert len(monolingual.mixed(4, 0.0).texts) == 4
    with pytest.raises(UsageError, match=r"no monolingual text: .*bitexts_as_monolingual"):
        sampler(Prepared(prepared.parallel, {})).sentences(1)


def test_a_position_of_other_corpora(prepared: Prepared) -> None:
    position = sampler(prepared).sentences(3).position
    with pytest.raises(UsageError, match=r"of other corpora .*parallel/de-en"):
        sampler(Prepared({}, prepared.monolingual), position=position)
