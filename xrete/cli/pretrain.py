"""`xrete pretrain`: trains a model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from xrete.cli import options
from xrete.errors import UsageError


def pretrain(
    model: Annotated[str, typer.Argument(help="A model that can be trained: emmax.")],
    preset: Annotated[
        str | None, typer.Option("--preset", help="Named settings: mini, small, paper, official.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings, which override the preset.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, which overrides the file; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; default: checkpoints/PRESET.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with the run in the folder, or throw it away.")
    ] = True,
    sweep: Annotated[
        Path | None, typer.Option("--sweep", help="TOML file of variants and seeds; each gets a run in the folder.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print all settings, each explained, and do nothing else.")
    ] = False,
    plugin: options.Plugin = None,
    json_: options.Json = False,
) -> None:
    """Train a model, or go on with a run that was stopped.

    A run that is killed at any moment goes on from its last checkpoint with the same command. On several GPUs or
    machines, start the same command with torchrun.

    Examples:
        xrete pretrain emmax --preset mini
        xrete pretrain emmax --preset paper --set encoder.start=xlm-roberta-large --out checkpoints/large
        torchrun --nproc-per-node 8 -m xrete pretrain emmax --config run.toml
    """
    from xrete import registry
    from xrete.model import Pretrainable, PretrainOptions

    trainer = registry.model(model)
    if not isinstance(trainer, Pretrainable):
        raise UsageError(f"model '{model}' cannot be trained here; 'xrete pretrain emmax' can")
    folder = out or Path("checkpoints") / (sweep.stem if sweep else preset or (config.stem if config else model))
    asked = PretrainOptions(
        preset=preset, config=config, settings=tuple(settings or ()), out=folder, fresh=not resume, sweep=sweep
    )
    if explain:
        typer.echo(trainer.explain(asked), nl=False)
        return
    best = trainer.pretrain(asked)
    if os.environ.get("RANK", "0") != "0":  # one of several processes
        return
    if json_:
        typer.echo(json.dumps({"run": str(folder), "checkpoint": str(best)}))
    else:
        typer.echo(f"done: xrete run --model {model}:{folder} --task tatoeba")
