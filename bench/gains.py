"""What models gain over a control, by the text that its run had of each language, and against where each starts.

    xrete run --model emmax:CONTROL --model emmax:VARIANT --task tatoeba --data DIR --results RESULTS
    python bench/gains.py RESULTS emmax:CONTROL emmax:VARIANT [emmax:VARIANT ...] --out FILE

Languages fall into three groups by the corpora of the control's run, which its checkpoint's `training.json` names:
with bitexts, with text without translations, with neither. The table has the control's mean, and each variant's
difference with its 95 % interval over languages; the picture (FILE.svg, FILE.png), for each language, the last
variant's difference against the control's accuracy.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Column, Table

import xrete
from xrete.files import parse_json, read_text
from xrete.languages import standard
from xrete.reporting.pictures import COLOURS, MARKERS, STYLE, save
from xrete.scores.crossed import crossed_margin

GROUPS = ("bitexts", "text alone", "neither")


def text_of(run: str) -> dict[str, str]:
    """Returns the group of each language that a run of EMMA-X had text of, by its standard code.

    Args:
        run: "emmax:" and the run's folder, or a checkpoint's.
    """
    folder = Path(run.removeprefix("emmax:"))
    file = max(folder.glob("**/model/training.json"), key=lambda path: path.parts[-3])
    corpora = parse_json(read_text(file))["corpora"]
    groups = {standard(code): GROUPS[1] for code in corpora["monolingual"]}
    return groups | {
        standard(code): GROUPS[0] for corpus in corpora["parallel"].values() for code in corpus["languages"]
    }


def accuracies(results: Path, task: str, models: Sequence[str]) -> pd.DataFrame:
    """Returns the headline score in percent of each language (rows) and model (columns, in the order given)."""
    frame = xrete.leaderboard(results)
    table = frame[frame.task == task].pivot_table(index="language", columns="model", values="score")
    return table[[*models]].dropna()


def differences(table: pd.DataFrame, groups: Mapping[str, str]) -> Table:
    """Returns the control's means, and what each other model gains over it, with intervals over languages."""
    shown = Table(Column("", overflow="fold"), "all", *GROUPS)
    control, *others = table.columns
    members = {"all": table.index} | {
        group: [code for code in table.index if groups.get(standard(code), GROUPS[2]) == group] for group in GROUPS
    }
    shown.add_row(
        _short(control), *(f"{table[control][codes].mean():.2f} ({len(codes)})" for codes in members.values())
    )
    for model in others:
        gains = [(table[model] - table[control])[codes].to_numpy() for codes in members.values()]
        margins = [crossed_margin(gain[None]) or np.nan for gain in gains]
        shown.add_row(
            _short(model),
            *(f"{gain.mean():+.2f} ± {margin:.2f}" for gain, margin in zip(gains, margins, strict=True)),
        )
    return shown


def _short(model: str) -> str:
    """Returns the end of a model's name, which tells checkpoints of one sweep apart."""
    return "/".join(model.split("/")[-2:])


def draw(table: pd.DataFrame, groups: Mapping[str, str], task: str, stem: Path) -> list[Path]:
    """Draws what the last model gains over the first, against the first's accuracy; a point is a language."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    control, last = table.columns[0], table.columns[-1]
    with mpl.rc_context(STYLE):
        figure = Figure((7.2, 3.8), layout="constrained")
        axes: Any = figure.subplots()
        axes.axhline(0, color="#999999", linewidth=0.8)
        for group, colour, marker in zip(GROUPS, COLOURS, MARKERS, strict=False):
            codes = [code for code in table.index if groups.get(standard(code), GROUPS[2]) == group]
            x, y = table[control][codes], (table[last] - table[control])[codes]
            axes.scatter(x, y, s=18, color=colour, marker=marker, label=f"{group} ({len(codes)})", linewidths=0)
            for code in (y.abs() > 2).pipe(lambda far: far[far].index):
                axes.annotate(code, (x[code], y[code]), (3, 3), textcoords="offset points", fontsize=7.5)
        axes.set_xlabel(f"accuracy of phase 1 continued, {task}")
        axes.set_ylabel("gain of phase 2, points")
        axes.legend(title="text in training")
        return save(figure, stem, "Gain of phase 2 against starting accuracy", "")


def main() -> None:
    """Prints the table, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("control", help="model of the control's record: emmax:FOLDER, the folder at hand")
    parser.add_argument("variants", nargs="+", help="models of the others")
    parser.add_argument("--task", default="tatoeba")
    parser.add_argument("--out", type=Path, help="where the picture goes, without its ending")
    options = parser.parse_args()
    groups = text_of(options.control)
    table = accuracies(options.results, options.task, [options.control, *options.variants])
    Console().print(differences(table, groups))
    if options.out:
        for file in draw(table, groups, options.task, options.out):
            print(file)


if __name__ == "__main__":
    main()
