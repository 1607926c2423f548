"""The options of `xrete run`, by what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Models = Annotated[
    list[str], typer.Option("--model", help="NAME or NAME:CHECKPOINT; repeatable, or several with commas.")
]
Tasks = Annotated[
    list[str], typer.Option("--task", help="A task, a category, or all; repeatable, or several with commas.")
]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="Default: the task's first one. Repeatable, or several with commas."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder for records.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16", "auto"],
    typer.Option(
        "--dtype",
        help=(
            "Number format in which transformers compute; auto is bfloat16 where the device multiplies it and the "
            "task's mini sample scores the same within 0.1 points."
        ),
    ),
]
BatchTokens = Annotated[int | None, typer.Option("--batch-tokens", min=1, help="Padded tokens in a batch.")]
Force = Annotated[bool, typer.Option("--force", help="Score again even where a complete record exists.")]
TrainLanguages = Annotated[
    str, typer.Option("--train-languages", help="Languages to train on: all, en, or codes with commas.")
]
TrainSplit = Annotated[
    str | None, typer.Option("--train-split", help="Split to train on; fine-tuning's default is train.")
]
TrainData = Annotated[
    str | None, typer.Option("--train-data", help="Source of training data: hub, or a folder, as for --data.")
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="Recipe of fine-tuning; default: the task's first one.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change the recipe: epochs=3, or sts.rate=1e-5; repeatable.")
]
Lora = Annotated[int | None, typer.Option("--lora", min=1, help="Train only low-rank adapters of this rank.")]
Seeds = Annotated[
    str, typer.Option("--seed", help="Seed of all that is random; several, with commas, fine-tune once each.")
]
NoCacheFlag = Annotated[
    bool, typer.Option("--no-cache", help="Neither read nor keep embeddings and answers on disk.")
]
CacheLimit = Annotated[
    float, typer.Option("--cache-limit", min=0, help="Most gigabytes of embeddings to keep on disk.")
]
Predictions = Annotated[
    Path | None, typer.Option("--predictions", help="Folder for predictions in XTREME's submission layout.")
]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Questions at once to a chat model.")]
Price = Annotated[
    str | None, typer.Option("--price", help="Price of a million tokens in and out, for estimates: 0.15,0.60.")
]
Where = Annotated[
    Literal["here", "ray"], typer.Option("--on", help="Where it runs: here, or on a Ray cluster (RAY_ADDRESS).")
]
Gpus = Annotated[
    int | None, typer.Option("--gpus", min=0, help="Of a job on Ray; else one where the cluster has any.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, with estimates, and run nothing.")
]
