"""`xrete export`: a model as a folder that sentence-transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xrete.cli import options


def export(
    model: Annotated[str, typer.Argument(help="NAME or NAME:CHECKPOINT.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Number format of the weights.")
    ] = "float32",
    plugin: options.Plugin = None,
) -> None:
    """Write a model that SentenceTransformer(FOLDER) loads, with the vectors that XRETE scores.

    Examples:
        xrete export emmax:checkpoints/mini encoder
        xrete export xlmr encoder --dtype float16
    """
    from xrete import registry
    from xrete.encoding.export import export as write
    from xrete.model import Carded

    request = registry.request_model(model, device="cpu")
    beside = request.plugin.files(request.options) if isinstance(request.plugin, Carded) else []
    write(request.load().encoder, folder, dtype=dtype, beside=beside)
    typer.echo(f"wrote {folder}; SentenceTransformer({str(folder)!r}) loads it, and so does --model st:{folder}")
