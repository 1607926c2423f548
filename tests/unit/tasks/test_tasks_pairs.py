"""The adapters of inference, similarity and classification: every upstream layout, whole and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import FORMS, save_again, with_counts
from xrete import registry
from xrete.dataset import Dataset
from xrete.errors import DataError, UsageError
from xrete.shapes.contract import TrainShape
from xrete.sources import Folder, Mini
from xrete.tasks.multieurlex import CONCEPTS, MultiEurlex
from xrete.tasks.pawsx import PawsX
from xrete.tasks.xnli import labelled

Files = Mapping[str, Sequence[str]]

NLI = ("neutral", "contradiction", "entailment")
XNLI_COLUMNS = (
    "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 "
    "sentence2 promptID pairID genre label1 label2 label3 label4 label5 sentence1_tokenized sentence2_tokenized"
).split()


@dataclass(frozen=True)
class Layout:
    """One published layout: `rows` gives the files' lines for items 0, 1, 2, ...; `bad` a label that is wrong."""

    name: str
    task: str
    language: str
    split: str
    rows: Callable[[Sequence[int]], Files]
    gold: Callable[[Any], Sequence[Any]]
    expected: Sequence[Any]
    label: str
    bad: str


def tsv(*cells: object) -> str:
    return "\t".join(map(str, cells))


def xnli_rows(rows: Sequence[int]) -> Files:
    lines = [tsv(*XNLI_COLUMNS)]
    for language in ("de", "sw"):
        for row in rows:
            cells = dict.fromkeys(XNLI_COLUMNS, "") | {
                "language": language,
                "gold_label": NLI[row % 3],
                "sentence1": f'{language} "premise {row}',
                "sentence2": f"{language} hypothesis {row}",
                "pairID": str(row),
            }
            lines.append(tsv(*cells.values()))
    return {"xnli/XNLI-1.0/xnli.test.tsv": lines}


def pairs(path: str, header: str | None, cells: Callable[[int], str]) -> Callable[[Sequence[int]], Files]:
    return lambda rows: {path: [*filter(None, [header]), *map(cells, rows)]}


def sts_original(rows: Sequence[int]) -> Files:
    return {
        "sts2017/STS2017.eval.v1.1/STS.input.track4a.es-en.txt": [tsv(f"es {row}", f'en "{row}') for row in rows],
        "sts2017/STS2017.gs/STS.gs.track4a.es-en.txt": [f"{row % 6:.6f}" for row in rows],
    }


def qe_test21(root: str, pair: str) -> Callable[[Sequence[int]], Files]:
    folder = f"mlqe-pe/test21_goldlabels/{root}{pair}-test21"
    return lambda rows: {
        f"{folder}/test21.src": [f'source "{row}' for row in rows],
        f"{folder}/test21.mt": [f"translation {row}" for row in rows],
        f"{folder}/goldlabels/test21.da": [f"{row / 10 - 1}" for row in rows],
    }


def qe_table(path: str, first: str) -> Callable[[Sequence[int]], Files]:
    header = tsv(first, "original", "translation", "scores", "mean", "z_scores", "z_mean", "model_scores")
    return pairs(path, header, lambda x: tsv(x, f'"a {x}', f"b {x}", "[70, 60]", 65.0, "[0.1]", x / 10 - 1, -0.5))


def json_lines(path: str, make: Callable[[int], Mapping[str, Any]]) -> Callable[[Sequence[int]], Files]:
    return lambda rows: {path: [json.dumps(make(row), ensure_ascii=False) for row in rows]}


def copa(row: int) -> Mapping[str, Any]:
    question = ("cause", "effect")[row % 2]
    sides = {"premise": f"é {row}", "choice1": f"a {row}", "choice2": f"b {row}"}
    return {**sides, "question": question, "label": row // 2 % 2, "idx": row, "changed": False}


def review(row: int) -> Mapping[str, Any]:
    return {"stars": str(row % 5 + 1), "review_title": f"é {row}", "review_body": "body", "language": "de"}


def law(row: int) -> Mapping[str, Any]:
    topics = {"level_1": [CONCEPTS[row % 21], CONCEPTS[20 - row % 21]], "level_2": ["1"]}
    return {"celex_id": f"c{row}", "text": {"de": f"é {row}", "mt": None}, "eurovoc_concepts": topics}


def labels_of(data: Any) -> list[Any]:
    return list(data.labels)


def scores_of(data: Any) -> list[Any]:
    return list(data.scores)


NLI_GOLD: tuple[Callable[[Any], Sequence[Any]], Sequence[Any], str, str] = (labels_of, NLI, "neutral", "neutrall")
PAWS_GOLD: tuple[Callable[[Any], Sequence[Any]], Sequence[Any], str, str] = (labels_of, "010", "\t1", "\t2")
STS_GOLD = (scores_of, (0, 1, 2))
Z_GOLD = (scores_of, (-1, -0.9, -0.8))


def nli(cells: str) -> Callable[[int], str]:
    return lambda row: cells.format(row=row, label=NLI[row % 3]).replace("|", "\t")


def paws(cells: str) -> Callable[[int], str]:
    return lambda row: cells.format(row=row, label=row % 2).replace("|", "\t")


XNLI_MT = "xnli/XNLI-MT-1.0/multinli/multinli.train.sw.tsv"
LAYOUTS = [
    Layout("xnli 1.0", "xnli", "sw", "test", xnli_rows, *NLI_GOLD),
    Layout("xnli of XTREME", "xnli", "sw", "dev", pairs("xnli/dev-sw.tsv", None, nli('"{row}|h|{label}')),
           *NLI_GOLD),
    Layout("xnli MT", "xnli", "sw", "train", pairs(XNLI_MT, tsv(*"phl"), nli("{row}|h|{label}")), *NLI_GOLD),
    Layout(
        "americasnli", "americasnli", "gn", "test",
        pairs(
            "americasnli/anli_final/test/gn.tsv", "id|language|premise|hypothesis|label".replace("|", "\t"),
            nli('{row}|gn|"p {row}|h {row}|{label}'),
        ), *NLI_GOLD,
    ),
    Layout(
        "americasnli together", "americasnli", "gn", "dev",
        pairs(
            "americasnli/anli_final/anli.dev.tsv", "id|language|premise|hypothesis|label".replace("|", "\t"),
            nli("{row}|gn|p {row}|h {row}|{label}"),
        ), *NLI_GOLD,
    ),
    Layout(
        "pawsx", "pawsx", "de", "dev",
        pairs("pawsx/x-final/de/dev_2k.tsv", tsv("id", "sentence1", "sentence2", "label"),
              paws('{row}|"a {row}|b|{label}')), *PAWS_GOLD,
    ),
    Layout(
        "pawsx in a folder of its own", "pawsx", "en", "train",
        pairs("x-final/en/train.tsv", tsv("id", "sentence1", "sentence2", "label"), paws("{row}|a|b|{label}")),
        *PAWS_GOLD,
    ),
    Layout("pawsx of XTREME", "pawsx", "de", "dev", pairs("pawsx/dev-de.tsv", None, paws("a {row}|b|{label}")),
           *PAWS_GOLD),
    Layout(
        "sts extended", "multists", "en-es", "test",
        pairs("sts2017/STS2017-extended/STS.es-en.txt", None, lambda row: tsv(f'"{row}', "b", row % 6)),
        *STS_GOLD, "\t1", "\tx",
    ),
    Layout("sts original", "multists", "en-es", "test", sts_original, *STS_GOLD, "1.000000", "x"),
    Layout("qe test21", "qe", "ro-en", "test21", qe_test21("", "ro-en"), *Z_GOLD, "-0.9", "[70, 80]"),
    Layout("qe test-only", "qe", "en-cs", "test21", qe_test21("zero-shot/", "en-cs"), *Z_GOLD, "-0.9", "70.5"),
    Layout(
        "qe dev", "qe", "ro-en", "dev",
        qe_table("mlqe-pe/direct-assessments/dev/ro-en-dev/dev.roen.df.short.tsv", "index"),
        *Z_GOLD, "-0.9", "x",
    ),
    Layout(
        "qe test20", "qe", "ru-en", "test20",
        qe_table("mlqe-pe/direct-assessments/test/ru-en/test20.ruen.df.short.tsv", "segid"), *Z_GOLD, "-0.9", "x",
    ),
    Layout(
        "xcopa", "xcopa", "ht", "test", json_lines("xcopa/data/ht/test.ht.jsonl", copa),
        labels_of, (0, 0, 1), '"label": 1', '"label": 2',
    ),
    Layout(
        "multiarc", "multiarc", "de", "dev", json_lines("multiarc/dataset_de_dev.json", review),
        labels_of, "123", '"stars": "1"', '"stars": "0"',
    ),
    Layout(
        "multieurlex", "multieurlex", "de", "dev", json_lines("multieurlex/dev.jsonl", law),
        lambda data: [labels[0] for labels in data.labels], CONCEPTS[:3], f'"{CONCEPTS[0]}"', '"100163"',
    ),
]  # fmt: skip
EVERY = pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])


def write(root: Path, files: Files) -> None:
    for name, lines in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def open_layout(root: Path, layout: Layout) -> Any:
    dataset = Dataset(with_counts(layout.task), Folder(root), split=layout.split, languages=[layout.language])
    return dataset[layout.language]


@EVERY
def test_it_is_read_as_it_is(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, layout.rows(range(12)))
    data = open_layout(tmp_path, layout)
    assert len(data) == 12
    assert list(layout.gold(data))[:3] == pytest.approx(list(layout.expected))
    shape = Dataset(with_counts(layout.task), Folder(tmp_path), split=layout.split).shape
    assert isinstance(shape, TrainShape)
    assert shape.size(shape.take(data, [3, 5])) == 2


@EVERY
@pytest.mark.parametrize(("end", "mark"), FORMS)
def test_it_is_the_same_however_an_editor_saved_it(layout: Layout, end: str, mark: str, tmp_path: Path) -> None:
    def fingerprint() -> str:
        folder = Folder(tmp_path)
        return Dataset(
            with_counts(layout.task), folder, split=layout.split, languages=[layout.language]
        ).fingerprint()

    write(tmp_path, layout.rows(range(12)))
    before = fingerprint()
    save_again(tmp_path, end, mark)
    assert fingerprint() == before


@EVERY
def test_a_missing_file(layout: Layout, tmp_path: Path) -> None:
    files = dict(layout.rows(range(12)))
    path, _ = files.popitem()
    write(tmp_path, files)
    with pytest.raises(DataError) as error:
        open_layout(tmp_path, layout)
    said = str(error.value)
    assert "\n" not in said
    if files:
        assert said.startswith(f"missing data file: {tmp_path / path} (")
    else:
        assert said.startswith(f"no data of {layout.task} in {tmp_path}: expected ")


@EVERY
def test_a_file_that_ends_in_the_middle_of_a_line(layout: Layout, tmp_path: Path) -> None:
    files = layout.rows(range(12))
    write(tmp_path, files)
    path = tmp_path / list(files)[-1]
    *whole, last = path.read_text("utf-8").rstrip("\n").split("\n")
    # In a file of scores alone, half a number is a number: there a whole line is lost.
    rest = last.split("\t")[0] if "\t" in last else last[: len(last) // 2 if last.startswith("{") else 0]
    path.write_text("\n".join([*whole, *filter(None, [rest])]), "utf-8")
    with pytest.raises(DataError) as error:
        open_layout(tmp_path, layout)
    said = str(error.value)
    assert str(path.parent) in said
    assert any(reason in said for reason in ("cells, not", "not JSON", "texts and", "no number")), said


@EVERY
def test_a_wrong_label(layout: Layout, tmp_path: Path) -> None:
    files = layout.rows(range(12))
    path = list(files)[-1]
    lines = list(files[path])
    row = max(row for row, line in enumerate(lines) if layout.label in line)
    lines[row] = lines[row].replace(layout.label, layout.bad)
    write(tmp_path, {**files, path: lines})
    with pytest.raises(DataError, match=r"^(?s:.)*of item \d+ is .*; fetch it again$") as error:
        open_layout(tmp_path, layout)
    assert str(tmp_path / path) in str(error.value)


@EVERY
def test_another_encoding(layout: Layout, tmp_path: Path) -> None:
    files = layout.rows(range(12))
    for path, lines in files.items():
        write(tmp_path, files)
        text = "\n".join(lines).replace(" 5", " é5", 1).replace("5", "é5", 1)
        (tmp_path / path).write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=r"line \d+: not UTF-8 \(byte \d+") as error:
            open_layout(tmp_path, layout)
        assert str(tmp_path / path) in str(error.value)


@EVERY
def test_another_number_of_items_than_published(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, layout.rows(range(12)))
    published = registry.task(layout.task).card.expected(layout.language, layout.split)
    assert published
    dataset = Dataset(registry.task(layout.task), Folder(tmp_path), split=layout.split, languages=[layout.language])
    with pytest.raises(DataError, match=rf"12 items where the published {layout.task} has {published[0]}"):
        dataset[layout.language]


COUNTED = {"multists": 250, "xcopa": 500, "americasnli": 750, "qe": 1000}


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if x.name in COUNTED or x.name.startswith(("qe", "sts"))],
                         ids=lambda layout: layout.name)  # fmt: skip
def test_the_published_number_of_items(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, layout.rows([row % 20 for row in range(COUNTED[layout.task])]))
    found = registry.task(layout.task)
    dataset = Dataset(found, Folder(tmp_path), split=layout.split, languages=[layout.language])
    assert dataset.shape.size(dataset[layout.language]) == COUNTED[layout.task]


def test_the_preferred_split_and_layout_win(tmp_path: Path) -> None:
    write(tmp_path, {"xnli/dev-sw.tsv": [tsv("a", "b", "neutral")] * 2})
    assert Dataset(with_counts("xnli"), Folder(tmp_path)).split == "dev"
    write(tmp_path, xnli_rows(range(3)))
    dataset = Dataset(with_counts("xnli"), Folder(tmp_path))
    assert (dataset.split, len(dataset["sw"])) == ("test", 3)
    assert dataset["sw"].ids == ["0", "1", "2"]
    assert dataset["sw"].first[0] == 'sw "premise 0', "quotes are text"


def test_labels_of_xnli_go_by_name() -> None:
    rows = [("p", "h", "contradictory"), ("p", "h", "-"), ("p", "h", None), ("p", "h", "entailment")]
    data = labelled(rows)
    assert data.labels == ["contradiction", "entailment"]
    assert data.ids == ["0", "3"], "a dropped row does not shift the others against their translations"
    assert data.dropped == 2


def test_dropped_rows_are_counted_and_are_part_of_what_is_published(tmp_path: Path) -> None:
    lines = [tsv(f"p {row}", f"h {row}", "-" if row < 3 else NLI[row % 3]) for row in range(20)]
    write(tmp_path, {"xnli/dev-sw.tsv": lines})
    for counts, fits in (({"dev": 20}, True), ({"dev": 17}, True), ({"dev": 21}, False)):
        dataset = Dataset(with_counts("xnli", counts), Folder(tmp_path))
        if fits:
            assert dataset.dropped() == {"sw": 3}
        else:
            with pytest.raises(DataError, match="17 items where the published xnli has 21"):
                dataset.dropped()


def test_the_test_files_of_xtreme_are_not_read(tmp_path: Path) -> None:
    """They hold no labels, or `neutral` throughout."""
    write(tmp_path, {"xnli/test-sw.tsv": [tsv("a", "b", "neutral")], "pawsx/test-de.tsv": [tsv("a", "b", "0")]})
    for name in ("xnli", "pawsx"):
        with pytest.raises(DataError, match=f"no data of {name}"):
            Dataset(with_counts(name), Folder(tmp_path))
    write(tmp_path, json_lines("xcopa/data/et/test.et.jsonl", lambda row: {**copa(row), "label": 0})(range(9)))
    with pytest.raises(
        DataError, match=r"test\.et\.jsonl: every label is 0: XTREME's preparation has blanked them"
    ):
        Dataset(with_counts("xcopa"), Folder(tmp_path))["et"]


def test_a_file_of_another_language(tmp_path: Path) -> None:
    header = tsv("id", "language", "premise", "hypothesis", "label")
    path = "americasnli/anli_final/test/gn.tsv"
    write(tmp_path, {path: [header, tsv(1, "gn", "p", "h", "neutral"), tsv(2, "aym", "p", "h", "neutral")]})
    with pytest.raises(DataError, match=r"gn\.tsv: rows of aym in the file of gn"):
        Dataset(with_counts("americasnli"), Folder(tmp_path))["gn"]
    write(tmp_path, json_lines("multiarc/dataset_ja_test.json", review)(range(3)))
    with pytest.raises(DataError, match="item 1 is in 'de', in a file of ja"):
        Dataset(with_counts("multiarc"), Folder(tmp_path))["ja"]


def test_a_table_without_the_column(tmp_path: Path) -> None:
    write(tmp_path, {"pawsx/x-final/de/test_2k.tsv": [tsv("id", "sentence1", "sentence2"), tsv(1, "a", "b")]})
    with pytest.raises(DataError, match=r"test_2k\.tsv, line 1: no column 'label' among 'id', 'sentence1', 'sen"):
        Dataset(with_counts("pawsx"), Folder(tmp_path))["de"]
    (tmp_path / "pawsx/x-final/de/test_2k.tsv").write_bytes(b"id\tsentence1\tsentence2\tlabels\r\n1\ta\tb\t0\r\n")
    with pytest.raises(DataError, match=r"no column 'label' among .*, 'labels'"):
        Dataset(with_counts("pawsx"), Folder(tmp_path))["de"]


def test_items_without_a_key(tmp_path: Path) -> None:
    write(tmp_path, {"xcopa/data/et/test.et.jsonl": ['{"premise": "a"}']})
    write(
        tmp_path, {"multiarc/dataset_de_test.json": ['{"stars": 3}'], "multieurlex/test.jsonl": ['{"text": "a"}']}
    )
    for name, language, sentence in (
        ("xcopa", "et", "item 1 has no 'question'"),
        ("multiarc", "de", "item 1 has no 'review_title'"),
        ("multieurlex", "de", "item 1 has no 'text', 'celex_id' or 'eurovoc_concepts'"),
    ):
        with pytest.raises(DataError, match=sentence):
            Dataset(with_counts(name), Folder(tmp_path))[language]


@pytest.mark.parametrize(
    ("name", "language", "path", "line", "says"),
    [
        ("xcopa", "et", "xcopa/data/et/test.et.jsonl", {**copa(1), "premise": None}, "'first' of item 2 is None"),
        ("xcopa", "et", "xcopa/data/et/test.et.jsonl", {**copa(1), "choice2": 5}, "'choice2' of item 2 is 5"),
        ("xcopa", "et", "xcopa/data/et/test.et.jsonl", {**copa(1), "label": [0]}, r"label of item 2 is \[0\]"),
        (
            "xcopa",
            "et",
            "xcopa/data/et/test.et.jsonl",
            {**copa(1), "premise": "a\ud83d"},
            r"'first' of item 2 holds \\ud83d, half of a pair, which is no character",
        ),
        ("multiarc", "de", "multiarc/dataset_de_test.json", {**review(1), "review_title": None}, "is None, which"),
        ("multieurlex", "de", "multieurlex/test.jsonl", {**law(1), "text": {"de": 5}}, "'first' of item 2 is 5"),
    ],
)
def test_a_value_that_is_no_text(
    name: str, language: str, path: str, line: Mapping[str, Any], says: str, tmp_path: Path
) -> None:
    good = {"xcopa": copa, "multiarc": review, "multieurlex": law}[name]
    write(tmp_path, {path: [json.dumps(good(0)), json.dumps(line), json.dumps(good(2))]})
    with pytest.raises(DataError, match=says) as error:
        Dataset(with_counts(name), Folder(tmp_path))[language]
    assert str(tmp_path / path) in str(error.value)


def test_missing_texts_are_not_the_word_none() -> None:
    with pytest.raises(ValueError, match="'second' of item 1 is None, which is no text"):
        labelled([("p", None, "neutral")])


def test_a_file_of_dropped_rows_only_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"xnli/dev-sw.tsv": [tsv("p", "h", "-")] * 3})
    for counts, says in (({"dev": 3}, "0 items where the published xnli has 3;"), ({}, "0 items; the file")):
        with pytest.raises(DataError, match=says):
            Dataset(with_counts("xnli", counts), Folder(tmp_path))["sw"]


def test_placeholders_of_pawsx_are_kept_unless_asked(tmp_path: Path) -> None:
    write(tmp_path, {"pawsx/dev-de.tsv": [tsv("NS", "b", 0), tsv("a", "b", 1), tsv("a", "NS", 0)]})
    kept = with_counts("pawsx").from_folder(Folder(tmp_path), "de", "dev")
    assert (len(kept), kept.dropped) == (3, 0)
    variant = PawsX(drop_placeholders=True)
    assert variant.card.name == "pawsx-without-ns", "its records are not those of pawsx"
    without = variant.from_folder(Folder(tmp_path), "de", "dev")
    assert (without.labels, without.ids, without.dropped) == (["1"], ["1"], 2)


def test_training_pairs_with_an_empty_side_are_dropped(tmp_path: Path) -> None:
    header = tsv("id", "sentence1", "sentence2", "label")
    lines = [header, tsv(1, "a", "", 0), tsv(2, "a", "b", 1), tsv(3, " ", "b", 1)]
    write(tmp_path, {"pawsx/x-final/de/translated_train.tsv": lines})
    data = with_counts("pawsx").from_folder(Folder(tmp_path), "de", "train")
    assert (data.ids, data.dropped) == (["2"], 2)


def test_the_first_half_of_track_6_is_scored(tmp_path: Path) -> None:
    pairs_file = "sts2017/STS2017.eval.v1.1/STS.input.track6.tr-en.txt"
    scores_file = "sts2017/STS2017.gs/STS.gs.track6.tr-en.txt"
    lines = [tsv(f"tr {row}", f"en {row}") for row in range(500)]
    write(tmp_path, {pairs_file: lines, scores_file: [f"{row % 6}" for row in range(250)]})
    write(tmp_path, sts_original(range(250)))
    dataset = Dataset(registry.task("multists"), Folder(tmp_path))
    assert dataset.languages == ("en-es", "en-tr")
    data = dataset["en-tr"]
    assert (data.first[249], data.second[249], data.scores[249]) == ("tr 249", "en 249", 249 % 6)
    assert len(data) == 250
    write(tmp_path, {scores_file: ["1"] * 249})
    with pytest.raises(DataError, match=r"track6\.tr-en\.txt: 500 texts and 249 in"):
        _ = Dataset(registry.task("multists"), Folder(tmp_path), languages=["en-tr"])["en-tr"]


def test_a_law_that_is_not_translated_is_no_item(tmp_path: Path) -> None:
    def partly(row: int) -> Mapping[str, Any]:
        return {**law(row), "text": {"de": f"t {row}", "mt": None if row % 2 else f"m {row}"}}

    write(tmp_path, json_lines("multieurlex/dev.jsonl", partly)(range(6)))
    data = with_counts("multieurlex").from_folder(Folder(tmp_path), "mt", "dev")
    assert (data.first, data.ids) == (["m 0", "m 2", "m 4"], ["c0", "c2", "c4"])


def test_laws_have_labels_of_other_levels(tmp_path: Path) -> None:
    deep = [f"c{number}" for number in range(567)]

    def labelled_at_3(row: int) -> Mapping[str, Any]:
        return {**law(row), "eurovoc_concepts": {"level_1": [CONCEPTS[0]], "level_3": [deep[row], deep[-1]]}}

    variant = MultiEurlex(level=3)
    assert (variant.card.name, variant.card.hub, variant.card.prompt) == ("multieurlex-level-3", None, None)
    variant.card = replace(variant.card, counts={})
    write(tmp_path, json_lines("multieurlex/dev.jsonl", labelled_at_3)(range(6)))
    with pytest.raises(DataError, match=r"^missing data file: .*/eurovoc_concepts\.json \("):
        Dataset(variant, Folder(tmp_path))
    for level, says in (({"level_3": deep}, ""), ({"level_3": deep[:9]}, "9 concepts where level 3 of EuroVoc has"),
                        ({}, "0 concepts where"), ([], "0 concepts where")):  # fmt: skip
        write(tmp_path, {"multieurlex/eurovoc_concepts.json": [json.dumps(level)]})
        if says:
            with pytest.raises(DataError, match=says):
                Dataset(variant, Folder(tmp_path))["de"]
        else:
            data = Dataset(variant, Folder(tmp_path))["de"]
            assert (data.classes, data.labels[1]) == (tuple(deep), ["c1", "c566"])


def sample() -> Iterator[tuple[str, Dataset]]:
    for name in ("xnli", "americasnli", "pawsx", "xcopa", "multists", "qe", "multieurlex", "multiarc"):
        for split in ("test", "train"):
            yield name, Dataset(registry.task(name), Mini(), split=split)


def test_the_sample_has_24_items_in_6_languages() -> None:
    for name, dataset in sample():
        assert len(dataset.languages) >= 6, name
        assert min(dataset.shape.size(dataset[language]) for language in dataset.languages) >= 24, name


def test_unknown_splits_are_named() -> None:
    with pytest.raises(UsageError, match="unknown split of xnli 'validation'"):
        Dataset(with_counts("xnli"), Folder(Path()), split="validation")
