"""The world with known answers: ranks, languages and corpora are what they claim to be, and it can be learned."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

import xrete
from xrete.dataset import open_dataset
from xrete.encoding.embedder import PROBE
from xrete.errors import DataError, UsageError
from xrete.models.emmax.synthetic import World, WorldConfig, WorldTask, true_ranks
from xrete.models.emmax.synthetic.__main__ import main

Run = Callable[..., subprocess.CompletedProcess[str]]
Vectors = NDArray[np.float64]

SMALL = WorldConfig(head=2, tail=1)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("worlds") / "one"
    world.write(made, bitexts=1001, monolingual=800, held_out_sentences=100)
    return made


def lines(file: Path) -> list[str]:
    return file.read_text("utf-8").removesuffix("\n").split("\n")


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- ranks ----------------------------------------------------------------------------------------------------


@given(
    st.integers(2, 8),
    st.lists(st.tuples(*[st.integers(0, 2)] * 7), min_size=1, max_size=6),
    st.lists(st.tuples(*[st.integers(0, 2)] * 7), min_size=1, max_size=6),
)
def test_true_ranks_are_the_label_of_the_share_that_differs(
    ranks: int, left: list[tuple[int, ...]], right: list[tuple[int, ...]]
) -> None:
    found = true_ranks(np.array(left)[:, None], np.array(right), ranks)
    assert found.shape == (len(left), len(right))
    for (i, a), (k, b) in itertools.product(enumerate(left), enumerate(right)):
        share = Fraction(sum(x != y for x, y in zip(a, b, strict=True)), 7)
        # Below Eq. 3, r = ceil(1 + (N - 1) lambda) counts from 1.
        assert found[i, k] + 1 == math.ceil(1 + (ranks - 1) * share)


@pytest.mark.parametrize("ranks", [1, 9])
def test_ranks_that_would_stay_empty_are_refused(ranks: int) -> None:
    with pytest.raises(UsageError, match=f"7 components have 2 to 8 ranks, not {ranks}"):
        true_ranks(np.zeros((1, 7), dtype=np.int64), np.zeros((1, 7), dtype=np.int64), ranks)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_rank_shares_are_those_of_all_pairs(ranks: int) -> None:
    meanings = World(WorldConfig(topics=3, roles=3, fillers=3, events=4, held_out=0.2)).meanings
    weights = meanings.probabilities.ravel()
    everything = meanings.concepts(np.arange(weights.size))
    found = true_ranks(everything[:, None], everything, ranks)
    expected = [(np.outer(weights, weights) * (found == rank)).sum() for rank in range(ranks)]
    assert meanings.rank_shares(ranks) == pytest.approx(expected, abs=1e-14)


def test_random_sentences_have_the_stated_shares(world: World) -> None:
    random = np.random.default_rng(0)
    counts, ranks = np.zeros(8), 8
    for _ in range(12):
        a, b = (world.meanings.draw(1000, random) for _ in range(2))
        counts += np.bincount(true_ranks(a[:, None], b, ranks).ravel(), minlength=ranks)
    assert counts / counts.sum() == pytest.approx(world.meanings.rank_shares(ranks), rel=0.05)


def test_a_batch_has_every_rank_and_paraphrases_in_other_languages(world: World) -> None:
    random = np.random.default_rng(0)
    languages = random.integers(len(world.languages), size=128)
    found = true_ranks((batch := world.meanings.draw(128, random))[:, None], batch, 4)
    pairs = np.triu(np.ones((128, 128), dtype=bool), 1)
    counts = np.bincount(found[pairs], minlength=4)
    assert (counts > [1, 50, 200, 2000]).all(), counts
    assert ((found == 0) & pairs & (languages[:, None] != languages)).any()


def test_meanings_of_different_topics_are_unrelated(world: World) -> None:
    meanings = world.meanings.draw(500, np.random.default_rng(1))
    same = meanings[:, None, 0] == meanings[:, 0]
    assert (true_ranks(meanings[:, None], meanings, 8)[~same] == 7).all()
    assert 0.1 < same.mean() < 0.3


# --- languages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function_words", [0, 8])
def test_a_translation_has_the_same_meaning_and_no_other(function_words: int) -> None:
    world = World(WorldConfig(head=2, tail=2, function_words=function_words))
    random = np.random.default_rng(0)
    meanings = np.unique(world.meanings.draw(3000, random), axis=0)
    for language in world.languages.values():
        texts = language.sentences(meanings, random)
        assert (world.read(texts) == meanings).all()
        endings = [sum(word not in language.forms for word in text.split(" ")) for text in texts]
        assert {*endings} == ({0, 1, 2} if function_words else {0})


def test_reading_refuses_what_is_no_sentence(world: World) -> None:
    (text,) = world.languages["qaa"].sentences(
        world.meanings.draw(1, np.random.default_rng(0)), np.random.default_rng(0)
    )
    assert world.read([]).shape == (0, 7)
    for wrong in (f"{text} house", text.rpartition(" ")[0], f"{text} {text}", ""):
        with pytest.raises(DataError, match="no sentence of this world"):
            world.read([wrong])


@pytest.mark.parametrize("cognates", [0.0, 0.3, 1.0])
def test_lexicons_share_the_cognates_and_nothing_else(cognates: float) -> None:
    world = World(WorldConfig(head=26, tail=26, cognates=cognates, function_words=8))
    shared = round(cognates * world.config.concepts)
    everyone = list(world.languages.values())
    common = everyone[0].forms == everyone[1].forms
    assert common.sum() == shared
    for one, other in itertools.combinations(everyone, 2):
        assert ((one.forms == other.forms) == common).all()
        assert len({*one.forms} & {*other.forms}) == shared
        assert not {*one.particles} & {*other.particles, *other.forms}
    for language in everyone:
        assert len({*language.forms, *language.particles}) == world.config.concepts + 8
        assert sorted(language.order) == list(range(7))


def test_languages_have_no_syllable_in_common_but_for_cognates(world: World) -> None:
    common = world.languages["en"].forms == world.languages["qaa"].forms
    inventories = []
    for language in world.languages.values():
        words = [*language.forms[~common], *language.particles]
        inventories.append({word[i : i + 2] for word in words for i in range(0, len(word), 2)})
    for one, other in itertools.combinations(inventories, 2):
        assert not one & other


def test_other_cognates_or_languages_change_nothing_else(world: World) -> None:
    more = World(WorldConfig(head=3, tail=2, cognates=0.5))
    assert (more.meanings.probabilities == world.meanings.probabilities).all()
    assert (more.meanings.held_out == world.meanings.held_out).all()
    before = world.languages["en"].forms == world.languages["qta"].forms
    now = more.languages["en"].forms == more.languages["qta"].forms
    assert now[before].all()
    for code, language in world.languages.items():
        assert (more.languages[code].forms[~now] == language.forms[~now]).all()
        assert (more.languages[code].order == language.order).all()


# --- corpora --------------------------------------------------------------------------------------------------


def test_corpora_are_ordinary_files_that_read_back(folder: Path) -> None:
    world = World.open(folder)
    card = json.loads((folder / "world.json").read_text("utf-8"))
    assert (card["head"], card["tail"], card["bitexts"]) == (["qaa", "qab"], ["qta"], {"qaa": 501, "qab": 500})
    for code, count in card["bitexts"].items():
        rows = [line.split("\t") for line in lines(folder / "bitext" / f"{code}-en.tsv")]
        assert len(rows) == count
        own, pivot = zip(*rows, strict=True)
        assert (world.read(own) == world.read(pivot)).all()
        assert {word for text in own for word in text.split()} <= {*dict(world.languages[code].words())}
    for code in ("en", "qaa", "qab", "qta"):
        text = lines(folder / "mono" / f"{code}.txt")
        assert len(text) == 800
        assert {word for line in text for word in line.split()} <= {*dict(world.languages[code].words())}
        world.read(text)
    assert sorted(path.name for path in (folder / "bitext").iterdir()) == ["qaa-en.tsv", "qab-en.tsv"]


def test_held_out_sentences_are_aligned_and_mean_what_no_other_text_means(world: World, folder: Path) -> None:
    tested = world.read(lines(folder / "heldout" / "en.txt"))
    assert len(np.unique(tested, axis=0)) == len(tested) == 100
    for code in world.languages:
        assert (world.read(lines(folder / "heldout" / f"{code}.txt")) == tested).all()
    texts = [text for file in folder.glob("mono/*.txt") for text in lines(file)]
    texts += [text for file in folder.glob("bitext/*.tsv") for line in lines(file) for text in line.split("\t")]
    assert not {*map(tuple, world.read(texts).tolist())} & {*map(tuple, tested.tolist())}


def test_a_seed_is_a_world(folder: Path, tmp_path: Path) -> None:
    sizes = {"bitexts": 1001, "monolingual": 800, "held_out_sentences": 100}
    World(SMALL).write(tmp_path / "again", **sizes)
    assert content(tmp_path / "again") == content(folder)
    World(SMALL.model_copy(update={"seed": 1})).write(tmp_path / "other", **sizes)
    other = content(tmp_path / "other")
    assert [name for name, text in content(folder).items() if other[name] == text] == ["world.py"]


def test_damaged_or_missing_cards_are_named(folder: Path, tmp_path: Path) -> None:
    card = json.loads((folder / "world.json").read_text("utf-8"))
    file = tmp_path / "world.json"
    with pytest.raises(DataError, match="missing world"):
        World.open(tmp_path)
    for text, problem in (
        ("{", "not JSON"),
        ("{}", "not of the schema"),
        (json.dumps(card | {"digest": "0"}), "another version"),
        (json.dumps(card | {"config": {"size": 3}}), "Extra inputs"),
    ):
        file.write_text(text, "utf-8")
        with pytest.raises(DataError, match=problem):
            World.open(tmp_path)


def test_a_folder_with_files_is_left_alone(world: World, folder: Path) -> None:
    before = content(folder)
    with pytest.raises(UsageError, match="not an empty folder"):
        world.write(folder)
    assert content(folder) == before


def test_worlds_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="meanings"):
        WorldConfig(fillers=20, roles=10)
    with pytest.raises(ValidationError, match="concepts"):
        WorldConfig(fillers=200, roles=1)
    with pytest.raises(UsageError, match="0 of 4 meanings are held out"):
        World(WorldConfig(topics=2, fillers=2, roles=1, held_out=0.001))
    with pytest.raises(UsageError, match="0 of 16 meanings are held out"):
        World(WorldConfig(variation=0, topics=2, seed=1))
    with pytest.raises(UsageError, match="held-out meanings, not 500"):
        World(WorldConfig(topics=2, fillers=2)).write(tmp_path / "few")
    assert not (tmp_path / "few").exists()


# --- the task and the command ---------------------------------------------------------------------------------


class Oracle:
    """Puts sentences of one meaning at one place."""

    def __init__(self, world: World) -> None:
        self.world = world

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.ones((len(texts), self.world.config.concepts), dtype=np.float32)
        if texts != list(PROBE):
            found[:] = 0
            np.put_along_axis(found, self.world.read(texts), 1, axis=1)
        return found


def test_the_task_scores_head_and_long_tail(world: World, folder: Path) -> None:
    record = xrete.evaluate(Oracle(world), open_dataset(WorldTask.of(folder), folder))
    assert record.score == 100
    assert {name: group.languages for name, group in record.groups.items()} == {
        "all": ("qaa", "qab", "qta"),
        "head": ("qaa", "qab"),
        "long-tail": ("qta",),
    }
    assert record.missing_languages == ()


def test_the_folder_is_a_plugin(folder: Path, xrete: Run, fake_models: tuple[str, str], tmp_path: Path) -> None:
    done = xrete(
        "run", "--plugin", folder / "world.py", *fake_models, "--task", "world", "--model", "hash",
        "--data", folder, "--results", tmp_path, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(line) for line in done.stdout.splitlines())
    assert record["task"] == "world"
    assert record["score"] < 5  # chance is 1


def test_the_command_writes_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("--bitexts", "10", "--monolingual", "10", "--held-out-sentences", "10")
    main([str(tmp_path / "w"), "--head", "1", "--tail", "0", "--cognates", "0.5", *sizes])
    assert World.open(tmp_path / "w").config == WorldConfig(head=1, tail=0, cognates=0.5)
    assert f"--plugin {tmp_path / 'w' / 'world.py'} --task world" in capsys.readouterr().out
    assert WorldTask.of(tmp_path / "w").card.groups == {"head": ("qaa",)}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--cognates", "2"), "--cognates: "),
        (("--fillers", "20"), "512,000,000 meanings"),
        (("--head", "27"), "--head: "),
    ],
)
def test_the_command_says_what_is_wrong(
    options: tuple[str, ...], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / "w"), *options])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert problem in line


# --- learnable, and not trivial -------------------------------------------------------------------------------


def accuracy(left: Any, right: Any) -> float:
    """Retrieval accuracy in percent, by cosine; the lowest index wins ties."""
    scores = sparse.csr_array(left) @ sparse.csr_array(right).T
    return float(100 * np.mean(scores.toarray().argmax(axis=1) == np.arange(scores.shape[0])))


def by_characters(cognates: float) -> float:
    """Retrieval between two languages without bitext by their characters alone."""
    world = World(WorldConfig(head=1, tail=2, cognates=cognates))
    random = np.random.default_rng(0)
    tested = world.meanings.draw_held_out(500, random)
    texts = [world.languages[code].sentences(tested, random) for code in ("qta", "qtb")]
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)).fit([*texts[0], *texts[1]])
    return accuracy(*map(grams.transform, texts))


def test_spelling_tells_nothing_but_by_cognates() -> None:
    none, some, more = map(by_characters, (0.0, 0.3, 0.6))
    assert none < 1.5  # chance is 0.2
    assert 10 < some < more < 100


def test_bitexts_teach_the_head_and_leave_the_tail_room() -> None:
    """A linear map of words to the pivot's words, fitted on the head's bitexts."""
    world = World(WorldConfig(head=2, tail=2, function_words=0))
    random = np.random.default_rng(0)
    sources, targets = [], []
    for code in ("qaa", "qab"):
        meanings = world.meanings.draw(3000, random)
        sources += world.languages[code].sentences(meanings, random)
        targets += world.languages["en"].sentences(meanings, random)
    tested = world.meanings.draw_held_out(500, random)
    texts = {code: language.sentences(tested, random) for code, language in world.languages.items()}
    counter = CountVectorizer(tokenizer=str.split, token_pattern=None).fit(
        itertools.chain(sources, targets, *texts.values())
    )
    x = counter.transform([*sources, *targets])
    y = counter.transform([*targets, *targets]).toarray()
    gram = (x.T @ x).toarray() + np.eye(x.shape[1])
    learned = np.linalg.solve(gram, x.T @ (y - y.mean(axis=0)))
    vectors = {code: rows(counter.transform(text) @ learned) for code, text in texts.items()}
    found = {code: accuracy(vectors[code], vectors["en"]) for code in texts}
    assert min(found["qaa"], found["qab"]) > 99
    assert 30 < min(found["qta"], found["qtb"]) <= max(found["qta"], found["qtb"]) < 75


def test_the_tail_can_be_learned_from_monolingual_text() -> None:
    """Words that are no cognates are known by the cognates beside them, so phase 2 has something to find."""
    world = World(WorldConfig(head=1, tail=1))
    common = world.languages["en"].forms == world.languages["qta"].forms
    random = np.random.default_rng(0)
    profiles, frequencies = [], []
    for _ in ("en", "qta"):
        said = np.zeros((20_000, world.config.concepts))
        np.put_along_axis(said, world.meanings.draw(20_000, random), 1, axis=1)
        beside = said.T @ said
        frequencies.append(np.diag(beside)[~common])
        profiles.append(rows(np.sqrt(beside[~common][:, common])))
    hits = (profiles[0] @ profiles[1].T).argmax(axis=1) == np.arange(np.count_nonzero(~common))
    assert np.average(hits, weights=frequencies[0]) > 0.9


def rows(vectors: Any) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
