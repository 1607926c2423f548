"""Encoding: XRETE's engine against `SentenceTransformer.encode` with its defaults, side by side in one run.

    python bench/encoding.py
    python bench/encoding.py --data ../shared/data --device cuda

Same weights (those of me5-small), same prefix, same pooling. The variants take turns within every round, so that
a changing load of the machine hits all of them, and the table gives the median of the rounds' ratios: of elapsed
time, and of the processor's time, which other programs disturb less. "useful" is tokens over padded tokens,
"products" the share of matrix products in the processor's time in operations (of the first 256 sentences), and
"cosine" the lowest one to the vectors of sentence-transformers.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from xrete.encoding.transformer import TransformerEncoder, plan
from xrete.model import LoadOptions
from xrete.models.me5_small import RECIPE, unpacked
from xrete.models.transformer import open_transformer, quiet
from xrete.sources import Folder, Mini

LANGUAGES = "deu heb jpn pes rus tel tha wuu".split()
PRODUCTS = ("aten::addmm", "aten::mm", "aten::bmm")
Encode = Callable[[list[str]], NDArray[np.float32]]


def tatoeba_sentences(data: Path, count: int, chance: random.Random) -> list[str]:
    """Samples real sentences of eight languages, as many of each."""
    folder = Folder(data)
    each = count // len(LANGUAGES)
    texts = []
    for language in LANGUAGES:
        lines = folder.lines(f"tatoeba/v1/tatoeba.{language}-eng.{language}")
        texts += chance.sample(lines, each) if len(lines) >= each else chance.choices(lines, k=each)
    chance.shuffle(texts)
    return texts


def mini_sentences(count: int, chance: random.Random) -> list[str]:
    """Joins sentences of the mini sample to texts of web-like lengths: most are short, a few are very long."""
    columns = [lines for name, lines in Mini().table("parallel.tsv").items() if "_" in name]
    texts = []
    for _ in range(count):
        lines = chance.choice(columns)
        texts.append(" ".join(chance.choices(lines, k=min(40, int(chance.paretovariate(1.4))))))
    return texts


def sentence_transformer(folder: Path, device: str) -> Any:
    """Wraps the same weights the way their authors' model does: mean pooling, unit length, prefix."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    transformer = Transformer(str(folder), max_seq_length=RECIPE.max_length, model_kwargs={"dtype": torch.float32})
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()]
    return SentenceTransformer(
        modules=modules, prompts={"query": RECIPE.prefix}, default_prompt_name="query", device=device
    )


def fast_bfloat16() -> bool:
    """Returns whether there is hardware for bfloat16; a processor without it takes longer, not half."""
    return torch.cuda.is_available() or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def in_chunks(encoder: TransformerEncoder) -> Encode:
    """Encodes as the harness does, a chunk at a time; nothing of one round's tokenising serves the next."""

    def encode(texts: list[str]) -> NDArray[np.float32]:
        size = encoder.chunk_size
        return np.concatenate([encoder.encode(texts[at : at + size]) for at in range(0, len(texts), size)])

    return encode


def useful_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Returns tokens over padded tokens."""
    return sum(lengths) / sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


def shares(encoder: TransformerEncoder, texts: list[str]) -> dict[str, float]:
    """Returns the useful tokens of both ways to batch; sentence-transformers sorts by characters, 32 to a batch."""
    lengths = [len(ids) for ids in encoder.token_ids(texts)]
    size = encoder.chunk_size
    own: list[list[int]] = []
    for at in range(0, len(texts), size):
        own += [(batch + at).tolist() for batch in plan(lengths[at : at + size], encoder.batch_tokens)]
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    other = [order[at : at + 32] for at in range(0, len(order), 32)]
    return {"xrete": useful_share(lengths, own), "sentence-transformers": useful_share(lengths, other)}


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="a data folder; its Tatoeba sentences instead of the mini sample's"
    )
    parser.add_argument("--sentences", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", nargs="+", default=["float32", *(["bfloat16"] if fast_bfloat16() else [])])
    parser.add_argument("--threads", type=int, help="processor threads; torch's default where not given")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)

    chance = random.Random(0)
    texts = (
        tatoeba_sentences(given.data, given.sentences, chance)
        if given.data
        else mini_sentences(given.sentences, chance)
    )
    folder = unpacked()
    engines = {
        dtype: open_transformer(folder, RECIPE, LoadOptions(device=given.device, dtype=dtype))
        for dtype in given.dtypes
    }
    with quiet():
        reference = sentence_transformer(folder, given.device)
    variants: dict[str, Encode] = {
        "sentence-transformers float32": lambda texts: np.asarray(reference.encode(texts), dtype=np.float32),
        **{f"xrete {dtype}": in_chunks(engine) for dtype, engine in engines.items()},
    }
    report(texts, engines["float32"], variants, given.rounds, given.device)


def report(
    texts: list[str], encoder: TransformerEncoder, variants: dict[str, Encode], rounds: int, device: str
) -> None:
    """Times the variants in turn and prints the table; the first variant is the one to compare with."""
    console = Console()
    lengths = [len(ids) for ids in encoder.token_ids(texts)]
    median, tail = (int(np.percentile(lengths, rank)) for rank in (50, 99))
    console.print(f"{len(texts):,} sentences, {sum(lengths):,} tokens, median {median}, 99th percentile {tail}")
    vectors = {name: unit(encode(texts[:256])) for name, encode in variants.items()}  # warms up, too
    products = {name: product_share(encode, texts[:256]) for name, encode in variants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds):
        for name, encode in variants.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            encode(texts)
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
            took = f"{seconds[name][-1]:.1f} s, {cpu_seconds[name][-1]:.1f} s of CPU time"
            console.print(f"round {turn + 1}: {name} {took}", style="dim")
    first = next(iter(variants))
    useful = shares(encoder, texts)
    table = Table(title=f"me5-small on {device}, {torch.get_num_threads()} threads, {rounds} rounds")
    for column in ("variant", "ratio", "CPU ratio", "sentences/s", "useful", "products", "cosine"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name in variants:
        table.add_row(
            name,
            f"{statistics.median(quotients(seconds[first], seconds[name])):.2f}x",
            f"{statistics.median(quotients(cpu_seconds[first], cpu_seconds[name])):.2f}x",
            f"{len(texts) / statistics.median(seconds[name]):,.0f}",
            f"{useful[name.split()[0]]:.0%}",
            f"{products[name]:.0%}" if device == "cpu" else "",
            f"{(vectors[first] * vectors[name]).sum(axis=1).min():.6f}",
        )
    console.print(table)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "sentence-transformers"))
    console.print(f"{packages}, Python {platform.python_version()}, {platform.machine()}", style="dim")


def product_share(encode: Encode, texts: list[str]) -> float:
    """Returns the share of matrix products in the processor's time in operations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        encode(texts)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(times.get(name, 0) for name in PRODUCTS) / sum(times.values())


def quotients(first: list[float], own: list[float]) -> list[float]:
    """Divides round by round."""
    return [slow / fast for slow, fast in zip(first, own, strict=True)]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales rows to unit length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    main()
