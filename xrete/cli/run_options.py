"""The options of `xrete run`, by what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Models = Annotated[list[str], typer.Option("--model", help="NAME or NAME:CHECKPOINT; repeatable, commas too.")]
Tasks = Annotated[list[str], typer.Option("--task", help="A task, a category, or all; repeatable, commas too.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="Of those that a task has, else its first one; repeatable, commas too."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder for records.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16", "auto"],
    typer.Option("--dtype", help="Precision of transformers; auto is bfloat16 where the device multiplies it."),
]
BatchTokens = Annotated[int | None, typer.Option("--batch-tokens", min=1, help="Padded tokens in a batch.")]
Force = Annotated[bool, typer.Option("--force", help="Score again what is complete.")]
TrainLanguages = Annotated[
    str, typer.Option("--train-languages", help="What is trained on: all, en, or codes with commas.")
]
TrainSplit = Annotated[
    str | None, typer.Option("--train-split", help="Split that is trained on; fine-tuning takes train.")
]
TrainData = Annotated[
    str | None, typer.Option("--train-data", help="hub, or a folder of files to train on, as for --data.")
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Of fine-tuning; else the first one.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change the recipe: epochs=3, or sts.rate=1e-5; repeatable.")
]
Lora = Annotated[int | None, typer.Option("--lora", min=1, help="Train only low-rank adapters of this rank.")]
Seeds = Annotated[
    str, typer.Option("--seed", help="For all that is random; several, with commas, for runs of fine-tuning.")
]
NoCacheFlag = Annotated[
    bool, typer.Option("--no-cache", help="Neither use nor keep embeddings and answers on disk.")
]
CacheLimit = Annotated[float, typer.Option("--cache-limit", min=0, help="Gigabytes of embeddings on disk.")]
Predictions = Annotated[
    Path | None, typer.Option("--predictions", help="Folder for predictions in XTREME's submission layout.")
]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Questions at once to a chat model.")]
Price = Annotated[
    str | None, typer.Option("--price", help="Of a million tokens in and out, for estimates: 0.15,0.60.")
]
Where = Annotated[
    Literal["here", "ray"], typer.Option("--on", help="Where: here, or on a Ray cluster (RAY_ADDRESS).")
]
Gpus = Annotated[
    int | None, typer.Option("--gpus", min=0, help="Of a job on Ray; else one where the cluster has any.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and estimate it; run nothing.")]
