"""FLORES-200 (NLLB Team 2022) as sentence retrieval: find the English translation, 203 language varieties."""

from __future__ import annotations

from collections.abc import Sequence

from xrete.shapes.bitext import Bitext
from xrete.sources import Folder, Hub, HubData, Mini
from xrete.task import TaskCard

ENGLISH = "eng_Latn"
HEAD = tuple(
    (
        "afr_Latn amh_Ethi arb_Arab bel_Cyrl ben_Beng bos_Latn bul_Cyrl cat_Latn ces_Latn cym_Latn dan_Latn "
        "deu_Latn ell_Grek epo_Latn est_Latn eus_Latn fao_Latn fin_Latn fra_Latn gla_Latn gle_Latn glg_Latn "
        "heb_Hebr hin_Deva hrv_Latn hun_Latn hye_Armn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kat_Geor "
        "kaz_Cyrl khk_Cyrl khm_Khmr kor_Hang lit_Latn mal_Mlym mar_Deva mkd_Cyrl nld_Latn nno_Latn nob_Latn "
        "oci_Latn pol_Latn por_Latn ron_Latn rus_Cyrl slk_Latn slv_Latn spa_Latn srp_Cyrl swe_Latn tam_Taml "
        "tat_Cyrl tel_Telu tgl_Latn tha_Thai tuk_Latn tur_Latn uig_Arab ukr_Cyrl urd_Arab uzn_Latn vie_Latn "
        "xho_Latn zho_Hans"
    ).split()
)
LONG_TAIL = tuple(
    (
        "ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab ajp_Arab aka_Latn als_Latn apc_Arab arb_Latn ars_Arab "
        "ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn "
        "bem_Latn bho_Deva bjn_Arab bjn_Latn bod_Tibt bug_Latn ceb_Latn cjk_Latn ckb_Arab crh_Latn dik_Latn "
        "dyu_Latn dzo_Tibt ewe_Latn fij_Latn fon_Latn fur_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn "
        "hau_Latn hne_Deva ibo_Latn ilo_Latn kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kbp_Latn "
        "kea_Latn kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Arab knc_Latn kon_Latn lao_Laoo lij_Latn "
        "lim_Latn lin_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva "
        "mai_Deva min_Arab min_Latn mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr npi_Deva nso_Latn nus_Latn "
        "nya_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn prs_Arab quy_Latn run_Latn "
        "sag_Latn san_Deva sat_Olck scn_Latn shn_Mymr sin_Sinh smo_Latn sna_Latn snd_Arab som_Latn sot_Latn "
        "srd_Latn ssw_Latn sun_Latn swh_Latn szl_Latn taq_Latn taq_Tfng tgk_Cyrl tir_Ethi tpi_Latn tsn_Latn "
        "tso_Latn tum_Latn twi_Latn tzm_Tfng umb_Latn vec_Latn war_Latn wol_Latn ydd_Hebr yor_Latn yue_Hant "
        "zho_Hant zsm_Latn zul_Latn"
    ).split()
)

ALIASES = {"hye_Armen": "hye_Armn", "uzb_Latn": "uzn_Latn", "sat_Beng": "sat_Olck"}
"""Codes as EMMA-X's appendix B.1 and some copies of the data spell them, to the official ones."""


def read_language(folder: Folder, language: str, split: str) -> list[str]:
    """Reads the sentences of one language; "dev+devtest" is both files, one after the other."""
    return [line for file in folder.choose(language_layouts(language, split)) for line in folder.lines(file)]


def language_layouts(language: str, split: str) -> list[list[str]]:
    """Names the files of one language as in `flores200_dataset.tar.gz`, then as copies with another code do."""
    codes = [language, *(alias for alias, code in ALIASES.items() if code == language)]
    return [[f"flores200_dataset/{part}/{code}.{part}" for part in split.split("+")] for code in codes]


class Flores:
    """All 2,009 public sentences, or the part of them that is there; every language against English."""

    card = TaskCard(
        name="flores",
        title="FLORES-200: sentence retrieval, 203 varieties to English",
        shape="bitext",
        category="retrieval",
        metric="accuracy",
        mteb_type="BitextMining",
        languages=tuple(sorted(HEAD + LONG_TAIL)),
        splits=("dev+devtest", "devtest", "dev"),
        counts={"dev+devtest": 2009, "devtest": 1012, "dev": 997},
        aliases=ALIASES,
        unscored=(ENGLISH,),
        groups={"head": HEAD, "long-tail": LONG_TAIL},
        hub=HubData(repo="mteb/FloresBitextMining", revision="2144d16cc15edd22d4a9237d12bff5f31f5c07fc"),
        parallel=True,
        licence="CC BY-SA 4.0",
        citation="NLLB Team 2022, arXiv 2207.04672; head list as in EMMA-X, appendix B.1",
        layout="flores200_dataset/devtest/LLL_Ssss.devtest (and dev)",
        notes=(
            "2,009 of the 3,001 sentences are public; the paper's numbers assume all",
            "the pool of candidates is the split: dev+devtest and devtest alone are not comparable",
        ),
    )

    def files(self, language: str, split: str) -> Sequence[str]:
        """The language's own files; English is needed for every language."""
        return self.layouts(language, split)[0]

    def layouts(self, language: str, split: str) -> Sequence[Sequence[str]]:
        """Under the official code, or another one."""
        return language_layouts(language, split)

    def from_folder(self, folder: Folder, language: str, split: str) -> Bitext:
        """Reads the files of the official archive."""
        return Bitext(read_language(folder, language, split), read_language(folder, ENGLISH, split))

    def from_hub(self, hub: Hub, language: str, split: str) -> Bitext:
        """Reads two columns; the repository has one for each language."""
        sides: list[list[str]] = [[], []]
        for part in split.split("+"):
            for side, column in zip(sides, hub.columns("default", part, (language, ENGLISH)), strict=True):
                side.extend(column)
        return Bitext(*sides)

    def from_mini(self, mini: Mini, language: str, split: str) -> Bitext | None:
        """Reads the shared parallel table."""
        table = mini.table("parallel.tsv")
        return Bitext(table[language], table[ENGLISH]) if language in table and split == "test" else None


TASK = Flores()
