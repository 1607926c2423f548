"""FLORES-200 (NLLB Team 2022) as geometry: how 204 language varieties lie in one space (EMMA-X, section 5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard
from xrete.tasks.flores import ALIASES, ENGLISH, HEAD, LONG_TAIL, language_layouts, read_language


class FloresGeometry:
    """The sentences of every variety, aligned by row; English is in "all" only."""

    card = TaskCard(
        name="flores-geometry",
        title="FLORES-200: invariance, canonical form and isotropy over 204 varieties",
        shape="geometry",
        category="geometry",
        metric="kl",
        mteb_type="BitextMining",
        higher_is_better=False,
        languages=tuple(sorted((*HEAD, *LONG_TAIL, ENGLISH))),
        splits=("dev+devtest", "devtest", "dev"),
        counts={"dev+devtest": 2009, "devtest": 1012, "dev": 997},
        aliases=ALIASES,
        groups={"head": HEAD, "long-tail": LONG_TAIL},
        hub=HubData(repo="mteb/FloresBitextMining", revision="2144d16cc15edd22d4a9237d12bff5f31f5c07fc"),
        licence="CC BY-SA 4.0",
        citation="NLLB Team 2022, arXiv 2207.04672; Eq. 16 to 18 of EMMA-X; head list as in its appendix B.1",
        layout="flores200_dataset/devtest/LLL_Ssss.devtest (and dev)",
        notes=(
            "2,009 of the 3,001 sentences are public; the paper's numbers assume all",
            "the paper does not say whether English belongs to a group: here it is in all, not in head",
            "ch grows with the number of languages: compare ch_raw between groups, ch within one",
            "kl, pr and ch depend on the number of sentences: dev+devtest and devtest alone are not comparable",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The language's own files."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """Under the official code, or another one."""
        layouts: list[list[str]] = language_layouts(language, split)
        return layouts

    def from_folder(self, folder: Folder, language: str, split: str) -> list[str]:
        """Reads the files of the official archive."""
        sentences: list[str] = read_language(folder, language, split)
        return sentences

    def from_hub(self, hub: Hub, language: str, split: str) -> list[str]:
        """Reads one column; the repository has one for each language."""
        return [line for part in split.split("+") for line in hub.columns("default", part, (language,))[0]]

    def from_mini(self, mini: Mini, language: str, split: str) -> list[str] | None:
        """Reads the shared parallel table."""
        return mini.table("parallel.tsv").get(language) if split == "test" else None


TASK = FloresGeometry()
