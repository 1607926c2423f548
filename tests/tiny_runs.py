"""A world, an encoder and settings so small that a whole run of pretraining takes half a second."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rich.console import Console

    from xrete.models.emmax.config import Config
    from xrete.models.emmax.training import Training

WIDTH, PIECES, LENGTH = 16, 500, 32
SETTINGS = (
    "encoder.pooling=mean",
    f"encoder.max_length={LENGTH}",
    "encoder.dropout=0.1",
    "encoder.key_momentum=0.5",
    "loss.queue=24",
    "ranks.start_pairs=200",
    "ranks.typical_start=linear",
    "warmup.encoder_steps=3",
    "warmup.classifier_steps=3",
    "em.steps=3",
    "optimisation.batch=16",
    "optimisation.encoder_rate=1e-3",
    "watch.tasks=[]",
    "watch.overlap=",
    "watch.log_every=1",
    "compute.device=cpu",
)
TIMES = ("sentences_per_second", "tokens_per_second", "seconds_left")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora of three languages and their pivot, whose words are the same, in other orders."""
    from xrete.models.emmax.synthetic import World, WorldConfig

    folder = tmp_path_factory.mktemp("world") / "world"
    made = World(WorldConfig(head=2, tail=1, roles=5, zipf=0.0, cognates=1.0))
    made.write(folder, bitexts=200, monolingual=100, held_out_sentences=20)
    return folder


@pytest.fixture(scope="session")
def draw_start(world: Path) -> Callable[..., Path]:
    """Draws an XLM-R with a head: random, but it does not look at positions, so translations are alike."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    from xrete.encoding.embedder import PROBE
    from xrete.models.emmax.vocabulary import read_tokenizer, train_tokenizer

    def draw(folder: Path, *, width: int, layers: int, spread: float) -> Path:
        texts = [line for file in sorted(world.glob("mono/*.txt")) for line in file.read_text("utf-8").splitlines()]
        texts += PROBE  # so that it tells these apart, too
        file = folder / "trained.json"
        file.write_text(train_tokenizer(texts, PIECES), "utf-8")
        tokenizer = read_tokenizer(file, LENGTH)
        torch.manual_seed(0)
        model = XLMRobertaForMaskedLM(
            XLMRobertaConfig(
                vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
                intermediate_size=2 * width, max_position_embeddings=LENGTH + 2, type_vocab_size=1,
                initializer_range=spread, pad_token_id=1, bos_token_id=0, eos_token_id=2,
            )
        )  # fmt: skip
        model.roberta.embeddings.position_embeddings.weight.data.zero_()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return draw


@pytest.fixture(scope="session")
def start(draw_start: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of one layer to start from."""
    return draw_start(tmp_path_factory.mktemp("start"), width=WIDTH, layers=1, spread=0.5)


@pytest.fixture
def settings(world: Path, start: Path) -> Callable[..., list[str]]:
    """Settings of a short run, each phase of which takes three steps; more may follow, and win."""

    def make(*more: str) -> list[str]:
        data = [
            f'data.parallel=[{{kind="tsv", path="{world}/bitext/{{source}}-{{target}}.tsv"}}]',
            f'data.monolingual=[{{kind="text", path="{world}/mono/{{language}}.txt"}}]',
        ]
        return [*data, f"encoder.start={start}", *SETTINGS, *more]

    return make


@pytest.fixture
def configure(settings: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """The config of these settings; such runs draw no pictures, which takes longer than they do."""
    from xrete.models.emmax.config import read

    monkeypatch.setattr("xrete.models.emmax.pretrain.draw", lambda log, folder: [])
    return lambda *more: read(None, None, settings(*more))


@pytest.fixture
def assemble(configure: Callable[..., Config], tmp_path: Path) -> Callable[..., Training]:
    """Puts a run of these settings together, or goes on with the one in its folder."""
    from rich.console import Console

    from xrete.models.emmax.log import Watch
    from xrete.models.emmax.pretrain import set_up
    from xrete.training.team import Team

    def make(*more: str, folder: Path | None = None) -> Training:
        config = configure(*more)
        team = Team.join(config.compute.device)
        place = folder or tmp_path / "run"
        return set_up(config, team, place, Watch(config, team, place, Console(file=io.StringIO())))

    return make


@pytest.fixture
def console() -> Console:
    """What is said to a file, `console.file`, as where there is no terminal."""
    from rich.console import Console

    return Console(file=io.StringIO())


@pytest.fixture
def log() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a run's log, without what depends on the clock."""

    def read(folder: Path) -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
        return [{key: value for key, value in entry.items() if key not in TIMES} for entry in entries]

    return read
