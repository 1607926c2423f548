"""Pictures of a space as in the paper's Figure 2: invariance, canonical form, isotropy. Matplotlib draws them."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xrete import languages
from xrete.errors import XreteError
from xrete.files import atomic_writer
from xrete.vectors.geometry import Floats
from xrete.vectors.projection import Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
QUIET = "#c9c9c9"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
"""Okabe and Ito's palette, told apart with any colour vision; its yellow is too pale on white."""

MARKERS = ("o", "^", "s", "X")
MOST_LANGUAGES = len(COLOURS) * len(MARKERS)
MOST_SENTENCES = len(COLOURS)

ALONE = 0.9
"""A language is named in the picture where this share of its sentences is nearest to its own kind."""

SIZE = (7.2, 4.6)
DPI = 200
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so pictures are the same everywhere
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#999999",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "svg.hashsalt": "xrete",
}


def check_installed() -> None:
    """Makes sure of Matplotlib before anything is encoded.

    Raises:
        XreteError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise XreteError("pictures need Matplotlib: pip install 'xrete[pictures]'") from error


def draw(
    projection: Projection,
    scores: Mapping[str, float],
    divergence: Mapping[str, float],
    highlighted: Sequence[int],
    subtitle: str,
    folder: Path,
) -> list[Path]:
    """Draws all pictures, each as SVG and as PNG.

    Args:
        projection: The sample in the plane.
        scores: Values of the group "all".
        divergence: `kl` of each language.
        highlighted: Positions in the sample of the sentences that are coloured in the second picture.
        subtitle: What was measured, in a line.
        folder: Where the files go.

    Returns:
        The files.

    Raises:
        XreteError: the folder cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    share = projection.explained
    planes = {
        "tsne": (projection.tsne, ("t-SNE", "")),
        "pca": (projection.components, (f"first component, {share[0]:.0%}", f"second, {share[1]:.0%} of variance")),
    }
    files: list[Path] = []
    with mpl.rc_context(STYLE):
        for name, (points, labels) in planes.items():
            figure = Figure(SIZE, layout=_layout())
            _languages(_plane(figure, labels), projection, points, divergence)
            files += save(
                figure, folder / f"languages-{name}", _title("Invariance", "KL", scores.get("kl")), subtitle
            )
            figure = Figure(SIZE, layout=_layout())
            _meanings(_plane(figure, labels), projection, points, highlighted)
            files += save(
                figure, folder / f"meanings-{name}", _title("Canonical form", "CH", scores.get("ch")), subtitle
            )
        figure = Figure(SIZE, layout=_layout())
        left, right = figure.subplots(1, 2)
        _density(left, projection)
        _spectrum(right, projection)
        files += save(figure, folder / "isotropy", _title("Isotropy", "PR", scores.get("pr")), subtitle)
    return files


def _layout() -> Any:
    """Makes a layout that leaves room for the line below."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(rect=(0, 0.045, 1, 0.955))


def _title(what: str, metric: str, value: float | None) -> str:
    better = {"KL": "lower is better", "CH": "higher is better", "PR": "1 is isotropic, 0.37 one direction"}[metric]
    return f"{what}   {metric} {'undefined' if value is None else f'{value:.4g}'} ({better})"


def _plane(figure: Figure, labels: tuple[str, str]) -> Axes:
    axes = figure.subplots()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(labels[0], loc="left")
    axes.set_ylabel(labels[1], loc="bottom")
    axes.spines[:].set_visible(False)
    return axes


def _languages(axes: Axes, projection: Projection, points: Floats, divergence: Mapping[str, float]) -> None:
    """Colours languages; the most divergent ones first in the legend and on top."""
    codes = projection.sample.languages
    names = _names(codes)
    order = sorted(range(len(codes)), key=lambda number: -divergence[codes[number]])
    size = _size(points)
    for rank, number in reversed(list(enumerate(order))):
        axes.scatter(
            points[number, :, 0],
            points[number, :, 1],
            s=size,
            color=COLOURS[rank % len(COLOURS)],
            marker=MARKERS[rank // len(COLOURS)],
            alpha=0.8,
            linewidths=0,
            label=f"{names[codes[number]]}  {divergence[codes[number]]:.3g}",
        )
    handles, labels = axes.get_legend_handles_labels()
    _legend(axes, handles[::-1], labels[::-1], "language and its KL")
    alone = [(rank, number) for rank, number in enumerate(order) if projection.isolation[number] >= ALONE]
    centres = _apart(np.array([np.median(points[number], axis=0) for _, number in alone]), points)
    for (rank, number), centre in zip(alone, centres, strict=True):
        _write(axes, centre, names[codes[number]], COLOURS[rank % len(COLOURS)])


def _meanings(axes: Axes, projection: Projection, points: Floats, highlighted: Sequence[int]) -> None:
    """Colours a few sentences, each tied to the centre of its translations; all others are grey."""
    axes.scatter(points[..., 0], points[..., 1], s=0.5 * _size(points), color=QUIET, linewidths=0, zorder=1)
    for rank, sentence in enumerate(highlighted):
        translations, colour = points[:, sentence], COLOURS[rank]
        centre = np.median(translations, axis=0)
        spokes = np.stack([np.broadcast_to(centre, translations.shape), translations])
        axes.plot(*np.moveaxis(spokes, -1, 0), color=colour, linewidth=0.5, alpha=0.3, zorder=2)
        axes.scatter(
            translations[:, 0],
            translations[:, 1],
            s=1.6 * _size(points),
            color=colour,
            marker=MARKERS[rank % len(MARKERS)],
            linewidths=0.4,
            edgecolors="white",
            zorder=3,
            label=textwrap.fill(projection.sample.captions[sentence], 24, max_lines=3, placeholder=" …"),
        )
    handles, labels = axes.get_legend_handles_labels()
    _legend(axes, handles, labels, "one sentence, all languages", spacing=0.9)


def _density(axes: Axes, projection: Projection) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    points = projection.components.reshape(-1, 2)
    blues = LinearSegmentedColormap.from_list("xrete", ["#cfe1f2", "#4a98c9", "#08306b"])
    axes.hexbin(*points.T, gridsize=26, cmap=blues, bins="log", mincnt=1, linewidths=0.2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"first two components, {sum(projection.explained):.0%} of variance")
    axes.set_title("density of sentences", fontsize=9.5, fontweight="normal")


def _spectrum(axes: Axes, projection: Projection) -> None:
    """Draws the eigenvalues that the principal ratio depends on, against an isotropic space's."""
    spectrum = projection.spectrum
    d = len(spectrum)
    rank = np.arange(1, d + 1)
    shown = spectrum > 1e-7  # of a model of lower rank, the rest is rounding
    axes.loglog(rank[shown], spectrum[shown], color=COLOURS[0], linewidth=1.8)
    axes.axhline(1 / d, color=COLOURS[1], linewidth=1.2, linestyle=(0, (4, 2)))
    axes.annotate(
        f"isotropic, 1/{d}", (1, 1 / d), xytext=(2, -4), textcoords="offset points", va="top", color=COLOURS[1]
    )
    axes.annotate(
        f"{spectrum[0]:.0%} on the first",
        (1, spectrum[0]),
        xytext=(10, 2),
        textcoords="offset points",
        va="bottom",
        color=COLOURS[0],
    )
    axes.set_ylim(bottom=max(1e-6, 0.5 * float(spectrum[shown].min())))
    axes.set_xlabel("eigenvector of E$^T$E")
    axes.set_title("share of all squared length", fontsize=9.5, fontweight="normal")
    axes.grid(which="major", color="#e6e6e6", linewidth=0.6)


def _legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str], title: str, spacing: float = 0.3) -> None:
    legend = axes.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=title,
        alignment="left",
        fontsize=8.5 if len(labels) <= 21 else 7.5,
        title_fontsize=8.5,
        labelspacing=spacing,
        handletextpad=0.2,
        borderaxespad=0.2,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
            handle.set_sizes([28.0])  # type: ignore[attr-defined]


def _write(axes: Axes, centre: Floats, text: str, colour: str) -> None:
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text,
        (centre[0], centre[1]),
        ha="center",
        va="center",
        color=colour,
        weight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=5,
    )


def _apart(centres: Floats, points: Floats) -> Floats:
    """Moves names down that would lie on others: a name takes about a sixth of the width, a 20th of the height."""
    width, height = np.ptp(points.reshape(-1, 2), axis=0) / (6, 20)
    placed: list[Floats] = []
    for centre in centres:
        while any(abs(centre[0] - x) < width and abs(centre[1] - y) < 0.99 * height for x, y in placed):
            centre = centre - (0.0, height)
        placed.append(centre)
    return np.array(placed)


def _names(codes: Sequence[str]) -> dict[str, str]:
    """Returns names of languages, without the script where they can be told apart without it."""
    full = {code: languages.name(code) for code in codes}
    plain = {code: name.partition(" (")[0] for code, name in full.items()}
    counts = Counter(plain.values())
    return {code: plain[code] if counts[plain[code]] == 1 else full[code] for code in codes}


def _size(points: Floats) -> float:
    """Area of a point: smaller where there are more."""
    return float(np.clip(24_000 / points[..., 0].size, 6.0, 22.0))


def save(figure: Figure, stem: Path, title: str, subtitle: str) -> list[Path]:
    """Writes a figure with its title and a line below it, as SVG and as PNG, the same bytes for the same figure."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.text(0.01, 0.005, subtitle, fontsize=8.5, color="#666666", va="bottom")
    files = []
    for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
        path, buffer = stem.with_name(stem.name + suffix), io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], dpi=DPI, metadata=metadata)
        with atomic_writer(path) as file:
            file.write(buffer.getvalue())
        files.append(path)
    return files
