"""Do both modules find the true ranks? python -m xrete.models.emmax.synthetic.study WORLD RUN...

Looks at every checkpoint of the runs: what classifier and encoder say of pairs of held-out sentences of all
languages, against the ranks that the world knows. Agreement is Cohen's kappa with quadratic weights: 0 is chance, 1
is perfect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import cohen_kappa_score

from xrete.errors import UsageError, XreteError
from xrete.files import read_text

from ..folders import checkpoints
from .judges import config_of, judge
from .meanings import true_ranks
from .world import World

SENTENCES = 100
"""Of each language."""
FIRST = {"sequential": "2-", "joint": "1-"}
"""What names of checkpoints with a trained classifier begin with, or later ones, by the order of the warm-up."""
Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class Findings:
    """What one checkpoint knows.

    Attributes:
        name: The checkpoint's.
        classifier: Kappa of c_G with the true ranks.
        encoder: Kappa of c_M.
        cosine: Mean cosine of the pairs of each true rank.
        recall: Share of the pairs of each true rank that the classifier puts there.
    """

    name: str
    classifier: float
    encoder: float
    cosine: list[float]
    recall: list[float]


def study(world: Path, run: Path) -> list[Findings]:
    """Returns what each checkpoint of a run knows whose classifier is trained, oldest first.

    Raises:
        XreteError: the folders are not a world and a run on it.
    """
    known = World.open(world)
    texts = [
        text
        for language in known.languages
        for text in read_text(world / "heldout" / f"{language}.txt").splitlines()[:SENTENCES]
    ]
    meanings = known.read(texts)
    judged = [folder for folder in checkpoints(run) if folder.name >= FIRST[config_of(folder).warmup.order]]
    if not judged:
        raise UsageError(f"{run} has no checkpoints of a phase with ranks; name the folder of a run")
    return [_examine(folder, texts, meanings) for folder in judged]


def _examine(folder: Path, texts: list[str], meanings: Ranks) -> Findings:
    number = config_of(folder).ranks.number
    truth = true_ranks(meanings[:, None], meanings, number)
    judgement = judge(folder, texts)
    others = ~np.eye(len(texts), dtype=bool)
    by_rank = [others & (truth == rank) for rank in range(number)]
    return Findings(
        folder.name,
        _kappa(judgement.classifier[others], truth[others], number),
        _kappa(judgement.encoder[others], truth[others], number),
        [float(judgement.similarities[cells].mean()) for cells in by_rank],
        [float((judgement.classifier[cells] == rank).mean()) for rank, cells in enumerate(by_rank)],
    )


def _kappa(given: Ranks, truth: Ranks, number: int) -> float:
    value = cohen_kappa_score(given, truth, labels=list(range(number)), weights="quadratic")
    return 0.0 if np.isnan(value) else float(value)  # one rank for everything agrees no more than chance does


def table(studies: Iterable[tuple[str, Sequence[Findings]]]) -> Table:
    """Shows the findings of several runs."""
    result = Table("run", "checkpoint", "kappa of G", "kappa of M", "mean cosine by true rank", "found by G")
    for run, findings in studies:
        for knowledge in findings:
            result.add_row(
                run,
                knowledge.name,
                f"{knowledge.classifier:.3f}",
                f"{knowledge.encoder:.3f}",
                " ".join(f"{value:.2f}" for value in knowledge.cosine),
                " ".join(f"{value:.2f}" for value in knowledge.recall),
            )
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m xrete.models.emmax.synthetic.study", description=__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    try:
        Console(width=150).print(table((run.name, study(given.world, run)) for run in given.runs))
    except XreteError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
