"""`xrete pretrain emmax`: corpora, encoder and run put together, from the config to the last checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console

from xrete.files import write_text

from .checkpoint import Checkpoints
from .config import Config, dump
from .corpora import Prepared, overlap, prepare
from .distributed import Team
from .encoder import open_start
from .loop import train
from .runs import best_of, checkpoints
from .scoring import Scorer
from .training import Training
from .watch import Watch

TOKENIZER_SENTENCES = 200_000
"""Sentences that a new tokenizer is trained on, at most."""


def pretrain(config: Config, folder: Path, *, fresh: bool = False, console: Console | None = None) -> Path:
    """Trains an encoder, or goes on where the run in `folder` was.

    Args:
        config: All settings.
        folder: The run's.
        fresh: Throw away what the folder holds.
        console: Where progress is shown; standard error by default.

    Returns:
        The folder of the best checkpoint by held-out retrieval, or of the last where nothing was scored.

    Raises:
        UsageError: the config and the machine, or the run in the folder, do not fit.
        XreteError: data, encoder or disk fail, or a loss is not finite.
        KeyboardInterrupt: the run was asked to end; its state is saved.
    """
    torch.set_float32_matmul_precision("highest")  # the classifier's sums cancel; TF32 would be several nats off
    torch.set_flush_denormal(True)  # probabilities of far ranks are such numbers, and processors crawl over them
    team = Team.join(config.compute.device)
    try:
        team.rows(config.optimisation.batch // 2)  # said before anything is read or written
        console = console or Console(stderr=True)
        if team.leads:
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        team.wait()
        watch = Watch(config, team, folder, console)
        prepared = prepare(config.data, folder / "corpora")
        team.wait()
        watch.corpora = prepared.report()
        scorer = Scorer(config.watch)
        if config.watch.overlap:
            watch.overlap = overlap(prepared, config.watch.overlap)
        dtype = getattr(torch, config.compute.dtype)
        attention = config.compute.attention
        if attention == "auto":
            attention = "eager" if team.device.type == "cpu" and dtype == torch.bfloat16 else "sdpa"
        torch.manual_seed(config.seed)
        start = open_start(
            config.encoder, mlm=config.mlm.weight > 0, dtype=dtype, attention=attention, texts=_sentences(prepared)
        )
        run = Training(config, team, start, prepared, Checkpoints(folder, config.watch.keep), watch, scorer)
        if team.leads:
            write_text(folder / "config.toml", dump(config))
        if run.begins("encoder"):
            run.score("start", 0)
        train(run)
        best = best_of(folder)
        return folder / best if best else checkpoints(folder)[-1]
    finally:
        team.leave()


def _sentences(prepared: Prepared) -> Iterator[str]:
    """Yields the first sentences of every corpus, the same number of each."""
    corpora = [*prepared.parallel.values(), *prepared.monolingual.values()]
    for corpus in corpora:
        texts = (text for columns in corpus.batches() for row in zip(*columns, strict=True) for text in row)
        yield from islice(texts, TOKENIZER_SENTENCES // len(corpora))
