"""Tatoeba (Artetxe and Schwenk 2019): find the English translation among up to 1,000 sentences."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.bitext import Bitext
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

HEAD = tuple(
    (
        "afr ara bul ben deu ell spa est eus pes fin fra heb hin hun ind ita jpn jav kat kaz kor mal mar nld por "
        "rus swh tam tel tha tgl tur urd vie cmn"
    ).split()
)
LONG_TAIL = tuple(
    (
        "amh ang arq arz ast awa aze bel ber bos bre cat cbk ceb ces cha cor csb cym dan dsb dtp epo fao fry gla "
        "gle glg gsw hrv hsb hye ido ile ina isl kab khm kur kzj lat lfn lit lvs max mhr mkd mon nds nno nob nov "
        "oci orv pam pms pol ron slk slv sqi srp swe swg tat tuk tzl uig ukr uzb war wuu xho yid yue zsm"
    ).split()
)
SMALL = {
    "amh": 168, "ang": 134, "arq": 911, "arz": 477, "ast": 127, "awa": 231, "bos": 354, "ceb": 600, "cha": 137,
    "csb": 253, "cym": 575, "dsb": 479, "fao": 262, "fry": 173, "gla": 829, "gsw": 117, "hsb": 483, "hye": 742,
    "jav": 205, "kat": 746, "kaz": 575, "khm": 722, "kur": 410, "mal": 687, "max": 284, "mon": 440, "nov": 257,
    "orv": 835, "pms": 525, "slv": 823, "swg": 112, "swh": 390, "tam": 307, "tel": 234, "tha": 548, "tuk": 203,
    "tzl": 104, "uzb": 428, "xho": 142, "yid": 848,
}  # fmt: skip


class Tatoeba:
    """The 112 files of LASER's `data/tatoeba/v1`; the English sides differ between languages."""

    card = TaskCard(
        name="tatoeba",
        title="Tatoeba: sentence retrieval, 112 languages to English",
        shape="bitext",
        category="retrieval",
        metric="accuracy",
        mteb_type="BitextMining",
        languages=tuple(sorted(HEAD + LONG_TAIL)),
        splits=("test",),
        counts={"test": dict.fromkeys(HEAD + LONG_TAIL, 1000) | SMALL},
        groups={
            "head": HEAD,
            "long-tail": LONG_TAIL,
            "xtreme-r": (*HEAD, "aze", "lit", "pol", "ukr", "ron"),
        },
        hub=HubData(repo="mteb/tatoeba-bitext-mining", revision="69e8f12da6e31d59addadda9a9c8a2e601a0e282"),
        licence="CC BY 2.0 FR",
        citation="Artetxe and Schwenk 2019, TACL 7; head and long-tail as in EMMA-X, Table 3",
        layout="tatoeba/v1/tatoeba.XXX-eng.XXX and tatoeba.XXX-eng.eng",
        notes=("head is XTREME's 36 languages, long-tail the other 76, many of them high-resource",),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The two sides."""
        return [f"tatoeba/v1/tatoeba.{language}-eng.{side}" for side in (language, "eng")]

    def from_folder(self, folder: Folder, language: str, split: str) -> Bitext:
        """Reads LASER's files."""
        source, target = map(folder.lines, self.files(language, split))
        return Bitext(source, target)

    def from_hub(self, hub: Hub, language: str, split: str) -> Bitext:
        """Reads the config of the language."""
        return Bitext(*hub.columns(f"{language}-eng", split, ("sentence1", "sentence2")))

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        """Reads the shared parallel table, whose codes are those of FLORES."""
        table = mini.table("parallel.tsv")
        codes = {"ara": "arb", "cmn": "zho"}
        column = next((x for x in table if x.startswith(f"{codes.get(language, language)}_")), None)
        return Bitext(table[column], table["eng_Latn"]) if column and split == "test" else None


TASK = Tatoeba()
