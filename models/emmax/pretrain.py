"""`xrete pretrain emmax`: corpora, encoder and run put together, from the config to the last checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from xrete.devices import multiplies_bfloat16
from xrete.errors import UsageError
from xrete.files import digest, remove_abandoned, write_text
from xrete.training.team import Team

from .checkpoint import Checkpoints
from .config import Config, dump
from .corpora import Prepared, overlap, prepare
from .folders import LOG, PHASES, SETTINGS, best_of, checkpoints, clear
from .guard import RunAwayError
from .log import Watch
from .loop import train
from .pictures import draw
from .scoring import Scorer
from .start import open_start
from .training import Training
from .vocabulary import read_tokenizer, train_tokenizer

TOKENIZER_SENTENCES = 200_000
"""Sentences that a new tokenizer is trained on, at most."""


def pretrain(
    config: Config,
    folder: Path,
    *,
    fresh: bool = False,
    console: Console | None = None,
    corpora: Path | None = None,
) -> Path:
    """Trains an encoder, or goes on where the run in `folder` was.

    Args:
        config: All settings.
        folder: The run's.
        fresh: Throw away the run that the folder holds; prepared corpora stay.
        console: Where progress is shown; standard error by default.
        corpora: Where prepared text is kept; below `folder` by default.

    Returns:
        The folder of the best checkpoint by held-out retrieval, or of the last where nothing was scored.

    Raises:
        UsageError: the config and the machine, or the run in the folder, do not fit.
        XreteError: data, encoder or disk fail, or a loss is not finite.
        KeyboardInterrupt: the run was asked to end; its state is saved.
    """
    _check_text(config)
    team = Team.join(config.compute.device)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # the classifier's sums cancel; TF32 would be several nats off
    torch.set_flush_denormal(True)  # probabilities of far ranks are such numbers, and processors crawl over them
    try:
        team.rows(config.optimisation.batch)  # said before anything is read or written
        if team.leads:
            remove_abandoned(folder)
            if fresh:
                clear(folder)
        team.wait()
        with closing(Watch(config, team, folder, console or Console(stderr=True))) as watch:
            run = set_up(config, team, folder, watch, corpora)
            if team.leads:
                write_text(folder / SETTINGS, dump(config))
            if run.begins(PHASES[0]):
                run.score("start", 0)
            stopped = None
            try:
                with run.stoppable():
                    train(run)
            except RunAwayError as error:  # whose pictures show why
                stopped = error
        if team.leads and find_spec("matplotlib"):
            draw(folder / LOG, folder)
        if stopped:
            raise stopped
        best = best_of(folder)
        return folder / best if best else checkpoints(folder)[-1]
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_flush_denormal(False)
        team.leave()


def set_up(config: Config, team: Team, folder: Path, watch: Watch, corpora: Path | None = None) -> Training:
    """Puts a run together: its text, its encoder, and the state of the newest checkpoint, if there is one."""
    corpora = corpora or folder / "corpora"
    prepared = prepare(config.data, corpora, watch.preparing)
    team.wait()
    watch.corpora = prepared.card()
    if team.leads and config.watch.test_data:
        watch.tell("looking for test sentences in the corpora")
        watch.overlap = overlap(prepared, config.watch.test_data)
    torch.manual_seed(config.seed)
    start = open_start(
        config.encoder,
        config.compute,
        mlm=config.mlm.weight > 0 or config.warmup.mlm_steps > 0,
        device=team.device,
        tokenizer=None if config.encoder.start else _new_tokenizer(config, team, corpora, prepared, watch),
    )
    keeper = Checkpoints(folder, config, prepared.digest, start, team)
    run = Training(config, team, start, prepared, keeper, watch, Scorer(config.watch))
    if config.compute.dtype == "bfloat16" and team.device.type == "cpu" and not multiplies_bfloat16():
        watch.warn(
            "this processor has no instructions for bfloat16, in which a step takes many times as long; "
            "--set compute.dtype=float32 is faster here"
        )
    return run


def _check_text(config: Config) -> None:
    """Refuses phases without text, which would else be noticed once the phases before them are done.

    Raises:
        UsageError: there is none.
    """
    data, warmup, em = config.data, config.warmup, config.em
    if not data.parallel and (warmup.encoder_steps or warmup.classifier_steps or em.steps):
        raise UsageError("there are no bitexts to learn ranks from: give data.parallel a source")
    alone = warmup.mlm_steps or (em.steps and em.objective == "ranks" and em.parallel_fraction < 1)
    if alone and not (data.monolingual or data.bitexts_as_monolingual):
        raise UsageError(
            "there is no monolingual text: give data.monolingual a source, or set data.bitexts_as_monolingual"
        )


def _new_tokenizer(config: Config, team: Team, folder: Path, prepared: Prepared, watch: Watch) -> Any:
    """Opens the tokenizer of an encoder from random weights; the first process of the first start trains it."""
    vocabulary = config.encoder.scratch.vocabulary
    file = folder / f"tokenizer.{digest([prepared.digest, str(vocabulary)])[:16]}.json"
    if team.leads and not file.is_file():
        watch.tell(f"training a tokenizer of {vocabulary:,} pieces")
        write_text(file, train_tokenizer(_sentences(prepared), vocabulary))
    team.wait()
    return read_tokenizer(file, config.encoder.max_length)


def _sentences(prepared: Prepared) -> Iterator[str]:
    """Yields the first sentences of every corpus, the same number of each."""
    corpora = [*prepared.parallel.values(), *prepared.monolingual.values()]
    for corpus in corpora:
        texts = (text for columns in corpus.batches() for row in zip(*columns, strict=True) for text in row)
        yield from islice(texts, TOKENIZER_SENTENCES // len(corpora))
