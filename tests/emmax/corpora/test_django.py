"""Real text: the catalogues of Django, as the preset `mini` reads them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from xrete.models.emmax.corpora import DataConfig, Prepared, overlap, prepare

pytest.importorskip("django")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    source = {"kind": "gettext", "package": "django"}
    config = DataConfig.model_validate({"parallel": [source], "bitexts_as_monolingual": True})
    return prepare(config, tmp_path_factory.mktemp("django"))


def pairs(prepared: Prepared, name: str) -> list[tuple[str, ...]]:
    corpus = prepared.parallel[name]
    rows: list[tuple[str, ...]] = corpus.rows(np.arange(len(corpus)))
    return rows


def test_every_language_is_there(prepared: Prepared) -> None:
    assert len(prepared.parallel) > 80
    assert sum(map(len, prepared.parallel.values())) > 50_000
    assert {"de-en", "en-sw", "en-zh", "am-en", "en-fy", "en-no"} <= prepared.parallel.keys()
    assert all("en" in corpus.languages for corpus in prepared.parallel.values())
    assert prepared.monolingual.keys() == {x for corpus in prepared.parallel.values() for x in corpus.languages}


def test_a_pair_that_everybody_can_check(prepared: Prepared) -> None:
    assert ("Montag", "Monday") in pairs(prepared, "de-en")
    assert ("Enter a number.", "Введите число.") in pairs(prepared, "en-ru")


def test_nothing_of_programs_is_left(prepared: Prepared) -> None:
    texts = [text for name in prepared.parallel for pair in pairs(prepared, name) for text in pair]
    assert not [text for text in texts if re.search(r"%\(\w+\)|%[sd]\b|</?[a-z]+[ >]|&\w+;|\{\w*\}|\s\s", text)]
    assert all(text == text.strip() and text for text in texts)


def test_reasons_are_counted(prepared: Prepared) -> None:
    for corpus in prepared.parallel.values():
        report = corpus.report
        assert report.read == report.kept + sum(dropped.count for dropped in report.dropped.values())
        assert all(len(dropped.first) == min(3, dropped.count) for dropped in report.dropped.values())
    place = prepared.parallel["de-en"].report.dropped["duplicate"].first[0]
    file = Path(place.partition(",")[0])
    assert file.is_file()
    assert re.fullmatch(r".*/de/LC_MESSAGES/django(js)?\.mo, message \d+", place)


def test_overlap_with_the_sample_of_the_tasks_is_small(prepared: Prepared) -> None:
    found = overlap(prepared)
    assert found["found"] <= 0.01 * found["texts"]
