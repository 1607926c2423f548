"""All known scores as a tidy data frame: one row a model, task, protocol and language."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from xrete.published import paper, store
from xrete.reporting.answer.scores import known
from xrete.reporting.collect import find_entries
from xrete.reporting.text import plain

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = "model task protocol split language metric score low high n source revision".split()


def leaderboard(*folders: str | Path, published: bool = False) -> pd.DataFrame:
    """Returns the scores of records, in every language, as a tidy frame.

    Records of the mini sample, trial runs and unfinished ones are left out; of several records of a model on a task
    the one with the most languages speaks for it.

    Args:
        folders: Results folders; all records below them are read.
        published: With the numbers that come with XRETE (MTEB's, the paper's) and those imported into the folders.

    Returns:
        Columns `model`, `task`, `protocol`, `split`, `language`, `metric`, `score` (0 to 100 for shares,
        correlations times 100), `low` and `high` (its 95 % interval), `n` (items), `source` ("measured", or who
        published it), and `revision` of the model.

    Raises:
        XreteError: a folder is missing.
        DataError: imported numbers are damaged.
    """
    import pandas as pd

    paths = [Path(folder) for folder in folders]
    entries, unreadable = find_entries(paths)
    for sentence in unreadable:
        warnings.warn(plain(sentence), stacklevel=2)
    publications = [*store.read_all(paths), paper.publication()] if published else []
    rows = [
        (plain(x.model), x.cell.task, x.cell.protocol, x.cell.split, x.cell.language, *x[2:9])  # metric to revision
        for x in known(entries, publications).scores
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"low": float, "high": float, "score": float, "n": "Int64"})
