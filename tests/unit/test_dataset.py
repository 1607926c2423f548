"""A task's data as one run sees it: languages, splits, counts, what is missing, and where it comes from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from xrete import registry
from xrete.dataset import Dataset, cached_data, open_dataset
from xrete.errors import DataError, UsageError, XreteError
from xrete.sources import Folder, Mini
from xrete.task import layouts
from xrete.tasks import TASKS

MakeSnapshot = Callable[..., Path]

TATOEBA, FLORES = registry.task("tatoeba"), registry.task("flores")
TZL, CSB = 104, 253
"""Sentences that Tatoeba has in Talossan and Kashubian, its smallest languages here."""


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def tatoeba(root: Path, language: str, n: int, english: int | None = None) -> Path:
    """Writes both sides of a language in LASER's layout."""
    for side, size in ((language, n), ("eng", n if english is None else english)):
        path = root / "tatoeba" / "v1" / f"tatoeba.{language}-eng.{side}"
        write(path, (f"{language} {side} {row}" for row in range(size)))
    return root


def flores(root: Path, language: str, *splits: str) -> None:
    for split in splits:
        path = root / "flores200_dataset" / split / f"{language}.{split}"
        write(path, (f"{language} {split} {row}" for row in range({"dev": 997, "devtest": 1012}[split])))


@pytest.mark.parametrize(
    ("asked", "in_tatoeba", "in_flores"),
    [
        (["sw"], ["swh"], ["swh_Latn"]),
        (["swh"], ["swh"], ["swh_Latn"]),
        (["SW"], ["swh"], ["swh_Latn"]),
        (["iw"], ["heb"], ["heb_Hebr"]),
        (["zh"], ["cmn"], ["zho_Hans", "zho_Hant"]),
        (["fa"], ["pes"], ["pes_Arab", "prs_Arab"]),
        (["no"], None, None),
        (["nb"], ["nob"], ["nob_Latn"]),
        (["sw", "de", "swh"], ["deu", "swh"], ["deu_Latn", "swh_Latn"]),
    ],
)
def test_languages_are_found_by_any_of_their_codes(
    asked: list[str], in_tatoeba: list[str] | None, in_flores: list[str] | None, tmp_path: Path
) -> None:
    """One code may mean several varieties; the card's order is kept, and nothing comes twice."""
    for task, expected in ((TATOEBA, in_tatoeba), (FLORES, in_flores)):
        root = tmp_path / task.card.name
        for file in (file for code in expected or ["deu"] for file in task.files(code, task.card.splits[0])):
            write(root / file, ["one"])
        if expected is None:
            with pytest.raises(UsageError, match=f"unknown language of {task.card.name} '{asked[0]}'"):
                open_dataset(task, root, languages=asked)
        else:
            dataset = open_dataset(task, root, languages=asked)
            assert (list(dataset.languages), dataset.missing) == (expected, ())


def test_a_script_must_be_met(tmp_path: Path) -> None:
    flores(tmp_path, "arb_Arab", "devtest")
    for asked in ("arb_Arab", "arb-Arab"):
        assert open_dataset(FLORES, tmp_path, languages=[asked]).languages == ("arb_Arab",)
    with pytest.raises(UsageError, match="unknown language of flores 'arb_Cyrl'; did you mean"):
        open_dataset(FLORES, tmp_path, languages=["arb_Cyrl"])


def test_an_unknown_language_brings_near_names() -> None:
    with pytest.raises(UsageError, match=r"unknown language of tatoeba 'sweh'; did you mean swh or swe\? \(112"):
        open_dataset(TATOEBA, "mini", languages=["de", "sweh"])


def test_data_of_the_right_size_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(TATOEBA, tatoeba(tmp_path, "tzl", TZL))
    assert dataset.languages == ("tzl",)
    assert len(dataset.missing) == 111
    assert set(dataset.missing) == set(TATOEBA.card.languages) - {"tzl"}
    assert list(dataset["tzl"].source) == [f"tzl tzl {row}" for row in range(TZL)]
    assert list(dataset["tzl"].target) == [f"tzl eng {row}" for row in range(TZL)]
    assert (dataset.split, dataset.source.kind, dataset.revision) == ("test", "dir", None)


def test_missing_languages_are_those_that_were_asked_for(tmp_path: Path) -> None:
    tatoeba(tatoeba(tmp_path, "tzl", TZL), "csb", CSB)
    dataset = open_dataset(TATOEBA, tmp_path, languages=["tzl", "de", "sw"])
    assert dataset.languages == ("tzl",)
    assert dataset.missing == ("deu", "swh")


def test_files_of_unknown_languages_are_named(tmp_path: Path) -> None:
    tatoeba(tatoeba(tmp_path, "tzl", TZL), "qqq", 3)
    write(tmp_path / "tatoeba" / "v1" / "README.md", ["no language"])
    (tmp_path / "tatoeba" / "v1" / "tatoeba.xqx-eng.xqx.gz").write_bytes(b"")
    dataset = open_dataset(TATOEBA, tmp_path, languages=["tzl"])
    assert dataset.strangers() == ("tatoeba/v1/tatoeba.qqq-eng.qqq", "tatoeba/v1/tatoeba.xqx-eng.xqx.gz")
    for language in ("deu_Latn", "eng_Latn", "hye_Armen", "qqq_Latn"):
        flores(tmp_path, language, "devtest")
    unknown = ("flores200_dataset/devtest/qqq_Latn.devtest",)
    assert open_dataset(FLORES, tmp_path).strangers() == unknown
    assert open_dataset(registry.task("flores-geometry"), tmp_path).strangers() == unknown
    assert open_dataset(TATOEBA, "mini").strangers() == ()


@pytest.mark.parametrize("task", TASKS)
def test_no_file_of_a_task_is_of_an_unknown_language(task: str, tmp_path: Path) -> None:
    """Not even where a pair of languages is named the other way round."""
    adapter = registry.task(task)
    for split in (*adapter.card.splits, *adapter.card.training):
        for language in adapter.card.languages:
            for paths in layouts(adapter, language, split):
                for path in paths:
                    write(tmp_path / path, ["one"])
    for split in (*adapter.card.splits, *adapter.card.training):
        assert Dataset(adapter, Folder(tmp_path), split=split).strangers() == ()


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    dataset = open_dataset(TATOEBA, tatoeba(tmp_path, "tzl", TZL - 1))
    with pytest.raises(DataError, match=r"tatoeba\.tzl-eng\.tzl.*103 items where the published tatoeba has 104; "):
        _ = dataset["tzl"]


def test_misaligned_sides_are_named(tmp_path: Path) -> None:
    dataset = open_dataset(TATOEBA, tatoeba(tmp_path, "tzl", TZL, english=TZL - 4))
    with pytest.raises(DataError, match=r"tatoeba\.tzl-eng\.tzl.*104 sentences on one side and 100 on the other"):
        _ = dataset["tzl"]


@pytest.mark.parametrize("lost", ["tzl", "eng"])
def test_a_lost_side_is_named_at_once(tmp_path: Path, lost: str) -> None:
    """Before anything is scored."""
    tatoeba(tmp_path, "tzl", TZL)
    (tmp_path / "tatoeba" / "v1" / f"tatoeba.tzl-eng.{lost}").unlink()
    with pytest.raises(DataError, match=rf"^missing data file: .*/tatoeba\.tzl-eng\.{lost} \(.* is there"):
        open_dataset(TATOEBA, tmp_path)


def test_lost_english_is_named(tmp_path: Path) -> None:
    flores(tmp_path, "deu_Latn", "devtest")
    with pytest.raises(DataError, match=r"^missing data file: .*/eng_Latn\.devtest$"):
        _ = open_dataset(FLORES, tmp_path)["deu_Latn"]


def test_the_larger_split_is_taken_where_both_halves_are_there(tmp_path: Path) -> None:
    for language in ("deu_Latn", "eng_Latn"):
        flores(tmp_path, language, "dev", "devtest")
    dataset = open_dataset(FLORES, tmp_path)
    assert dataset.split == "dev+devtest"
    sides = dataset["deu_Latn"]
    assert len(sides.source) == 2009
    assert (sides.source[996], sides.source[997]) == ("deu_Latn dev 996", "deu_Latn devtest 0")
    assert (sides.target[996], sides.target[997]) == ("eng_Latn dev 996", "eng_Latn devtest 0")
    for split, size in (("devtest", 1012), ("dev", 997)):
        dataset = open_dataset(FLORES, tmp_path, split=split)
        assert (dataset.split, len(dataset["deu_Latn"].source)) == (split, size)


@pytest.mark.parametrize(
    ("alias", "code"), [("hye_Armen", "hye_Armn"), ("uzb_Latn", "uzn_Latn"), ("sat_Beng", "sat_Olck")]
)
def test_other_codes_of_flores_are_known(alias: str, code: str, tmp_path: Path) -> None:
    for language in (alias, "eng_Latn"):
        flores(tmp_path, language, "devtest")
    for task in (FLORES, registry.task("flores-geometry")):
        dataset = open_dataset(task, tmp_path, languages=[alias])
        assert (dataset.split, dataset.languages) == ("devtest", (code,))
    assert open_dataset(FLORES, tmp_path)[code].source[0] == f"{alias} devtest 0"
    flores(tmp_path, code, "devtest")
    assert open_dataset(FLORES, tmp_path)[code].source[0] == f"{code} devtest 0"


def test_half_of_a_split_is_another_split(tmp_path: Path) -> None:
    for language in ("deu_Latn", "eng_Latn"):
        flores(tmp_path, language, "devtest")
    dataset = open_dataset(FLORES, tmp_path)
    assert (dataset.split, dataset.languages) == ("devtest", ("deu_Latn",))
    with pytest.raises(DataError, match="no data of flores in "):
        open_dataset(FLORES, tmp_path, split="dev")


def test_splits_are_not_mixed(tmp_path: Path) -> None:
    """One pool of candidates for all languages; a language without it is missing."""
    for language in ("deu_Latn", "eng_Latn"):
        flores(tmp_path, language, "dev", "devtest")
    flores(tmp_path, "swh_Latn", "devtest")
    dataset = open_dataset(FLORES, tmp_path, languages=["de", "sw"])
    assert (dataset.split, dataset.languages, dataset.missing) == ("dev+devtest", ("deu_Latn",), ("swh_Latn",))


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown split of flores 'test'; did you mean devtest.*\(3 known"):
        open_dataset(FLORES, tmp_path, split="test")


def test_a_limit_keeps_the_first_items(tmp_path: Path) -> None:
    tatoeba(tmp_path, "tzl", TZL)
    dataset = open_dataset(TATOEBA, tmp_path, limit=5)
    assert list(dataset["tzl"].source) == [f"tzl tzl {row}" for row in range(5)]
    assert list(dataset["tzl"].target) == [f"tzl eng {row}" for row in range(5)]
    assert len(open_dataset(TATOEBA, tmp_path, limit=10**6)["tzl"].source) == TZL
    assert dataset.fingerprint() != open_dataset(TATOEBA, tmp_path).fingerprint()


def test_a_limit_does_not_hide_a_truncated_file(tmp_path: Path) -> None:
    dataset = open_dataset(TATOEBA, tatoeba(tmp_path, "tzl", TZL - 1), limit=5)
    with pytest.raises(DataError, match="103 items"):
        _ = dataset["tzl"]


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    first = tatoeba(tatoeba(tmp_path / "here", "tzl", TZL), "csb", CSB)
    fingerprint = open_dataset(TATOEBA, first).fingerprint()
    second = tmp_path / "there" / "deep"
    shutil.copytree(first, second)
    assert open_dataset(TATOEBA, second).fingerprint() == fingerprint
    assert open_dataset(TATOEBA, second, languages=["tzl"]).fingerprint() != fingerprint
    for name in ("tzl-eng.tzl", "tzl-eng.eng", "csb-eng.csb", "csb-eng.eng"):
        path = second / "tatoeba" / "v1" / f"tatoeba.{name}"
        kept = path.read_text("utf-8")
        lines = kept.splitlines()
        for changed in (
            [*lines[:-1], f"{lines[-1]}!"],
            [lines[1], lines[0], *lines[2:]],
            [f" {lines[0]}", *lines[1:]],
        ):
            write(path, changed)
            assert open_dataset(TATOEBA, second).fingerprint() != fingerprint
        path.write_text(kept, "utf-8")
    assert open_dataset(TATOEBA, second).fingerprint() == fingerprint


def test_the_fingerprint_knows_the_sides(tmp_path: Path) -> None:
    """Source and target exchanged are other data."""
    folder = tatoeba(tmp_path, "tzl", TZL) / "tatoeba" / "v1"
    before = open_dataset(TATOEBA, tmp_path).fingerprint()
    (folder / "tatoeba.tzl-eng.tzl").rename(folder / "kept")
    (folder / "tatoeba.tzl-eng.eng").rename(folder / "tatoeba.tzl-eng.tzl")
    (folder / "kept").rename(folder / "tatoeba.tzl-eng.eng")
    assert open_dataset(TATOEBA, tmp_path).fingerprint() != before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^missing data folder: {tmp_path}/none; name a folder with tatoeba/v1/"):
        open_dataset(TATOEBA, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=rf"no data of tatoeba in {tmp_path}/empty: expected .*tatoeba\.afr-eng\.afr"
    ):
        open_dataset(TATOEBA, tmp_path / "empty")


def test_the_mini_sample_has_what_it_has() -> None:
    dataset = open_dataset(FLORES, "mini")
    assert len(dataset.languages) >= 16
    assert isinstance(dataset.source, Mini)
    assert set(dataset.languages) | set(dataset.missing) == set(FLORES.card.languages)
    with pytest.raises(DataError, match="the mini sample of flores has none of "):
        open_dataset(FLORES, "mini", languages=["ace_Arab"])


def tatoeba_on_the_hub(snapshot: MakeSnapshot, folder: Path) -> None:
    """Puts the Talossan of a data folder into the hub's cache, at the card's revision."""
    assert TATOEBA.card.hub is not None
    sides = [Folder(folder).lines(file) for file in TATOEBA.files("tzl", "test")]
    rows = (json.dumps({"sentence1": left, "sentence2": right}) for left, right in zip(*sides, strict=True))
    readme = (
        "---\nconfigs:\n- config_name: tzl-eng\n  data_files:\n  - split: test\n    path: test/tzl-eng.jsonl\n---\n"
    )
    files = {"README.md": readme, "test/tzl-eng.jsonl": "".join(f"{row}\n" for row in rows)}
    snapshot(TATOEBA.card.hub.repo, TATOEBA.card.hub.revision, files)


def test_the_hub_gives_what_the_files_give(tmp_path: Path, snapshot: MakeSnapshot) -> None:
    tatoeba(tmp_path / "data", "tzl", TZL)
    tatoeba_on_the_hub(snapshot, tmp_path / "data")
    dataset = open_dataset(TATOEBA, "hub", languages=["tzl"])
    assert TATOEBA.card.hub is not None
    assert (dataset.source.kind, dataset.revision) == ("hub", TATOEBA.card.hub.revision)
    assert dataset.fingerprint() == open_dataset(TATOEBA, tmp_path / "data", languages=["tzl"]).fingerprint()


def test_auto_takes_the_cache_then_the_hub_then_the_sample(tmp_path: Path, snapshot: MakeSnapshot) -> None:
    def auto() -> Dataset:
        return open_dataset(TATOEBA, "auto", languages=["tzl", "de"])

    sample = auto()
    assert sample.source.kind == "mini"
    assert sample.languages == ("deu",)
    assert sample.fallback is not None
    assert "cannot get data set mteb/tatoeba-bitext-mining at 69e8f12d from the hub" in sample.fallback

    tatoeba(tmp_path / "data", "tzl", TZL)
    tatoeba_on_the_hub(snapshot, tmp_path / "data")
    assert (auto().source.kind, auto().fallback) == ("hub", None)

    tatoeba(cached_data(), "tzl", TZL)
    assert (auto().source.kind, auto().languages, auto().fallback) == ("dir", ("tzl",), None)


@pytest.mark.parametrize("split", ["dev", "devtest"])
def test_auto_takes_a_cache_that_has_one_split_only(split: str) -> None:
    for language in ("deu_Latn", "eng_Latn"):
        flores(cached_data(), language, split)
    dataset = open_dataset(FLORES)
    assert (dataset.source.kind, dataset.split) == ("dir", split)


def test_the_hub_never_falls_back() -> None:
    with pytest.raises(XreteError, match=r"cannot get data set .* from the hub .* use --data DIR"):
        _ = open_dataset(TATOEBA, "hub", languages=["de"])["deu"]


def test_parallel_tasks_hold_the_same_items_in_every_language() -> None:
    """What a card says of the published data holds for the sample: names or English sides agree, row by row."""
    parallel = [name for name in registry.names("tasks") if registry.task(name).card.parallel]
    assert set(parallel) == {"flores", "lareqa", "xnli", "pawsx", "xcopa", "multieurlex"}
    for name in parallel:
        dataset = open_dataset(registry.task(name), "mini")
        data = [dataset[language] for language in dataset.languages]
        names = {tuple(part.target) if name == "flores" else tuple(part.ids) for part in data}
        assert len(data) > 1
        assert len(names) == 1, name
