"""A plugin with tasks, one for each objective of fine-tuning, that a tiny transformer learns from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrete.dataset import Dataset
from xrete.encoding.embedder import PROBE
from xrete.quiet import quiet
from xrete.shapes.choice import Choices
from xrete.shapes.classification import Labelled
from xrete.shapes.multilabel import MultiLabelled
from xrete.shapes.ranking import Pool, Ranking
from xrete.shapes.similarity import ScoredPairs
from xrete.sources import Folder
from xrete.task import Recipe, Stage, TaskCard

WORDS = tuple(f"w{number}" for number in range(40))
CLASSES = ("red", "green", "blue")
STARS = ("1", "2", "3", "4", "5")
SIZES = {"train": 120, "dev": 40, "test": 60}
STAGE = Stage(objective="classes", epochs=5, rate=1e-2, batch=16, warmup=0.1, max_length=24)


def text(random: np.random.Generator, *among: str) -> str:
    """Returns four words and `among`, in any order."""
    words = [*random.choice(WORDS, 4), *among]
    return " ".join(words[place] for place in random.permutation(len(words)))


class Toy:
    """Makes its rows up, the same ones for the same language and split."""

    def __init__(
        self, name: str, shape: str, metric: str, stages: Recipe, *, rows: str = "", higher_is_better: bool = True
    ) -> None:
        self.card = TaskCard(
            name=f"toy-{name}",
            title=f"Toy: {name}",
            shape=shape,
            category="toy",
            metric=metric,
            languages=("xx", "yy"),
            splits=("test", "dev"),
            training=("train",),
            counts={},
            protocols=("fine-tune",),
            recipes={"toy": stages},
            licence="CC0",
            citation="made up",
            layout="toy/xx.test",
            higher_is_better=higher_is_better,
        )
        self._rows = rows or name

    def files(self, language: str, split: str) -> Sequence[str]:
        return [f"toy/{language}.{split}"]

    def from_folder(self, folder: Folder, language: str, split: str) -> Any:
        seed = [len(language + split), sum(map(ord, language + split))]
        return getattr(self, f"_{self._rows}")(np.random.default_rng(seed), SIZES[split])

    def _pairs(self, random: np.random.Generator, n: int) -> Labelled:
        """The class is a word of the second text."""
        labels = random.choice(CLASSES, n).tolist()
        first, second = [text(random) for _ in labels], [text(random, label) for label in labels]
        return Labelled(first=first, second=second, labels=labels, classes=CLASSES)

    def _nli(self, random: np.random.Generator, n: int) -> Labelled:
        return self._pairs(random, n)

    def _single(self, random: np.random.Generator, n: int) -> Labelled:
        labels = random.choice(STARS, n).tolist()
        return Labelled(first=[text(random, f"star{x}") for x in labels], labels=labels, classes=STARS)

    def _topics(self, random: np.random.Generator, n: int) -> MultiLabelled:
        labels = [random.choice(CLASSES, random.integers(1, 3), replace=False).tolist() for _ in range(n)]
        return MultiLabelled(first=[text(random, *names) for names in labels], labels=labels, classes=CLASSES)

    def _choose(self, random: np.random.Generator, n: int) -> Choices:
        labels = random.integers(0, 2, n).tolist()
        sides = [[text(random, "yes" if label == side else "no") for label in labels] for side in (0, 1)]
        return Choices(
            first=[text(random) for _ in labels],
            questions=["cause"] * n,
            choice1=sides[0],
            choice2=sides[1],
            labels=labels,
        )

    def _score(self, random: np.random.Generator, n: int) -> ScoredPairs:
        scores = random.integers(0, 5, n)
        second = [text(random, f"star{score + 1}") for score in scores]
        return ScoredPairs(first=[text(random) for _ in second], second=second, scores=scores.tolist())

    def _cosine(self, random: np.random.Generator, n: int) -> ScoredPairs:
        same = random.integers(0, 2, n)
        sides = [random.choice(CLASSES, 2, replace=False) for _ in same]
        first = [text(random, x) for x, _ in sides]
        second = [text(random, x if equal else y) for (x, y), equal in zip(sides, same, strict=True)]
        aims = same.astype(float)
        return ScoredPairs(first=first, second=second, scores=(5 * aims).tolist(), aims=aims.tolist())

    def _search(self, random: np.random.Generator, n: int) -> Ranking:
        """A query and its candidate share two words of twenty, among others."""
        names = [f"{x} {y}" for x in WORDS[:10] for y in WORDS[10:20]][: min(n, 100)]
        pool = Pool(names, [f"{name} {text(random, 'about')}" for name in names])
        asked = [names[row % len(names)] for row in range(n)]
        queries = [f"where {name}" for name in asked]
        return Ranking([str(row) for row in range(n)], queries, [[name] for name in asked], pool)


NLI = Toy("nli", "classification", "accuracy", (STAGE,))
TASKS = {
    toy.card.name: toy
    for toy in (
        Toy("pairs", "classification", "accuracy", (STAGE,)),
        Toy("siamese", "classification", "accuracy", (replace(STAGE, objective="softmax"),), rows="pairs"),
        Toy("single", "ordinal", "mae", (STAGE,), higher_is_better=False),
        Toy("topics", "multilabel", "r_precision", (replace(STAGE, objective="labels", head="linear"),)),
        Toy("choose", "choice", "accuracy", (replace(STAGE, objective="choices"),)),
        Toy("score", "similarity", "pearson", (replace(STAGE, objective="score"),)),
        Toy("cosine", "similarity", "pearson", (replace(STAGE, objective="cosine"),)),
        Toy("order", "similarity", "pearson", (replace(STAGE, objective="cosent"),), rows="cosine"),
        Toy("search", "ranking", "map@20", (replace(STAGE, objective="in-batch", max_length_second=32),)),
        Toy(
            "staged", "similarity", "pearson",
            (
                replace(STAGE, name="nli", task=NLI, objective="softmax"),
                replace(STAGE, name="sts", objective="cosine"),
            ),
            rows="cosine",
        ),
        Toy(
            "again", "classification", "accuracy",
            (replace(STAGE, name="first", task=NLI), replace(STAGE, name="second")),
            rows="pairs",
        ),
    )
}  # fmt: skip
"""What a plugin offers."""

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
OTHERS = (*CLASSES, *(f"star{number}" for number in range(1, 6)), "yes", "no", "about", "where")


@pytest.fixture(scope="session")
def toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XLM-R of one layer with random weights and without dropout."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    folder = tmp_path_factory.mktemp("toy-encoder")
    known = dict.fromkeys((*SPECIAL, *WORDS, *OTHERS, *(word for text in PROBE for word in text.split())))
    vocabulary = {word: number for number, word in enumerate(known)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", model_max_length=64,
    )  # fmt: skip
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.1,
    )  # fmt: skip
    with quiet():
        XLMRobertaModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which every split of every toy task is found."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "toy").mkdir()
    for language in ("xx", "yy"):
        for split in SIZES:
            (folder / "toy" / f"{language}.{split}").touch()
    return folder


@pytest.fixture
def toy(toy_data: Path) -> Callable[..., Dataset]:
    """Opens a toy task by name."""

    def make(name: str, **options: Any) -> Dataset:
        return Dataset(TASKS[f"toy-{name}"], Folder(toy_data), **options)

    return make


@pytest.fixture
def toy_model(toy_encoder: Path) -> Any:
    """The encoder as a model of the harness."""
    import xrete

    return xrete.load_model(f"hf:{toy_encoder}?pooling=mean", device="cpu")
