"""The config: what is refused and how it is said, and that `--explain` writes a file that reads back the same."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from xrete.errors import DataError, UsageError
from xrete.models.emmax import config as configs
from xrete.models.emmax.config import PRESETS, Config, dump, read, validated
from xrete.models.emmax.corpora import sources

PRESENT = [name for name in PRESETS if (Path(configs.__file__).parent / "presets" / f"{name}.toml").is_file()]
SOURCES = [
    getattr(sources, name) for name in ("MosesFiles", "TsvFiles", "TmxFiles", "GettextCatalogues", "TextFiles")
]


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from sections(field.annotation)


@pytest.mark.parametrize("section", [*sections(Config), *SOURCES], ids=lambda section: section.__name__)
def test_everything_is_explained(section: type[BaseModel]) -> None:
    assert section.__doc__
    for name, field in section.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert nested or name == "kind" or field.description, name


def test_all_sections_are_there() -> None:
    assert len(list(sections(Config))) == 13


# --- there and back -----------------------------------------------------------------------------------------


def round_trip(config: Config, folder: Path) -> Config:
    file = folder / "config.toml"
    file.write_text(dump(config), "utf-8")
    return read(None, file, [])


@pytest.mark.parametrize("preset", [None, *PRESENT])
def test_what_is_explained_reads_back_as_the_same(preset: str | None, tmp_path: Path) -> None:
    config = read(preset, None, [])
    assert round_trip(config, tmp_path) == config
    lines = dump(config).splitlines()
    for line, before in zip(lines[1:], lines, strict=False):
        if line and not line.startswith("#"):
            assert before.startswith("# "), line  # each value and each table has its explanation above it


@pytest.mark.parametrize("preset", ["small", "e5", "official", "paper"])
def test_a_preset_starts_from_a_pinned_commit_and_a_start_of_the_user_s_has_none(
    preset: str, tmp_path: Path
) -> None:
    assert re.fullmatch("[0-9a-f]{40}", read(preset, None, []).encoder.revision or "")
    file = tmp_path / "config.toml"
    file.write_text('[encoder]\nstart = "folder"\n', "utf-8")
    assert read(preset, file, []).encoder.revision is None
    assert read(preset, None, ["encoder.start=folder"]).encoder.revision is None
    assert read(preset, file, ["encoder.revision=abc", "encoder.start=acme/other"]).encoder.revision == "abc"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
rates = st.floats(0, 1e6, allow_nan=False)


@example(values={"encoder": {"start": 'a "b"\\\n\t\x7f\x00 \u2028 \U0001f600'}, "seed": -1})
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(-(2**62), 2**62),
            "encoder": st.fixed_dictionaries({}, optional={"start": texts, "revision": texts}),
            "optimisation": st.fixed_dictionaries({}, optional={"encoder_rate": rates, "classifier_rate": rates}),
            "watch": st.fixed_dictionaries({"tasks": st.lists(texts, max_size=3)}, optional={"split": texts}),
            "data": st.fixed_dictionaries(
                {
                    "monolingual": st.lists(
                        texts.map(lambda text: {"kind": "text", "path": f"{text}{{language}}"}),
                        max_size=2,
                    )
                }
            ),
        },
    )
)  # fmt: skip
def test_any_config_reads_back_as_the_same(values: dict[str, Any]) -> None:
    try:
        config = validated(values)
    except UsageError:
        return  # a pattern with other places in braces
    assert validated(tomllib.loads(dump(config))) == config


# --- layers -------------------------------------------------------------------------------------------------


def test_settings_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('seed = 5\n[loss]\nqueue = 9\n[encoder]\npooling = "mean"\n', "utf-8")
    preset = PRESENT[0]
    config = read(preset, file, ["loss.queue=11", "watch.tasks=['flores', \"xnli\"]", "encoder.start=acme/large"])
    assert (config.seed, config.loss.queue, config.encoder.pooling) == (5, 11, "mean")
    assert config.watch.tasks == ("flores", "xnli")
    assert config.encoder.start == "acme/large"  # text as it stands, where it is no TOML
    untouched = read(preset, None, [])
    assert config.ranks == untouched.ranks
    assert config.loss.temperature == untouched.loss.temperature


def test_a_setting_may_be_a_whole_source() -> None:
    config = read(None, None, ['data.monolingual=[{kind = "text", path = "cc/{language}.txt"}]'])
    assert config.data.monolingual[0].kind == "text"


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["em.stepps=3"], r"em\.stepps: Extra inputs are not permitted \(xrete pretrain emmax --explain lists all"),
        (["stepps=3"], r"config: stepps: Extra inputs"),
        (["em.steps=many"], r"em\.steps: Input should be a valid integer"),
        (["em.steps=-1"], r"em\.steps: Input should be greater than or equal to 0"),
        (["em=3"], r"em: Input should be a valid dictionary"),
        (["encoder.pooling=max"], r"encoder\.pooling: Input should be 'cls', 'mean' or 'pooler_dense'"),
        (["optimisation.encoder_rate=inf"], r"optimisation\.encoder_rate: Input should be a finite number"),
        (["ranks.number=1"], r"ranks\.number: Input should be greater than or equal to 2"),
        (["optimisation.batch=15"], r"optimisation\.batch must be even, and 4 or more"),
        (["optimisation.batch=2"], r"optimisation\.batch must be even, and 4 or more"),
        (["loss.candidates=queue", "loss.queue=0"], r"loss\.candidates = 'queue' needs loss\.queue above 0"),
        (["loss.low=0.2"], r"loss\.low must not be above loss\.high"),
        (["warmup.encoder_steps=0", "warmup.classifier_steps=0", "em.steps=0"], "every phase has 0 steps"),
        (["a=1", "b=1", "c=1", "d=1", "e=1"], "; and 2 more"),
        (["encoder.max_length=2"], r"encoder\.max_length: Input should be greater than or equal to 3"),
        (["encoder.scratch.heads=3"], r"encoder\.scratch: .*width 256 must be a multiple of heads 3"),
        (["em.steps"], r"--set em\.steps: write key\.path=value, as in --set em\.steps=1000"),
        (["=3"], r"--set =3: write key\.path=value"),
        (['data.monolingual=[{kind="csv", path="x"}]'], r"data\.monolingual\.0: .*'csv'"),
        (['data.monolingual=[{kind="text", path="x"}]'], r"data\.monolingual\.0\.text: "),
    ],
)
def test_a_wrong_setting_is_named(settings: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(None, None, settings)


def test_a_preset_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"unknown preset 'papr'; did you mean paper\?"):
        read("papr", None, [])


def test_a_file_that_is_missing_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing config file: .*absent\.toml"):
        read(None, tmp_path / "absent.toml", [])
    file = tmp_path / "bad.toml"
    file.write_text("[em\nsteps = 3", "utf-8")
    with pytest.raises(UsageError, match=r"bad\.toml is not TOML: .*line 1"):
        read(None, file, [])
    file.write_bytes(b"seed = 1 # \xff")
    with pytest.raises(DataError, match=r"bad\.toml, line 1: not UTF-8"):
        read(None, file, [])
