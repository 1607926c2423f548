"""How answers are read: plain ones, wordy ones, and those that say nothing or two things."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrete.prompts import Number, OneOf, Prompt, SomeOf

RELATION = OneOf({name: name for name in ("entailment", "neutral", "contradiction")})
YES_NO = OneOf({"no": "0", "yes": "1"})
STARS = Number(1, 5, whole=True)
SCALE = Number(0, 5)
SHARE = Number(0, 1)
TOPICS = SomeOf({"European Union": "10", "trade": "46", "trade unions": "99", "agriculture and fisheries": "56"})


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("neutral", "neutral"),
        ("  Neutral.\n", "neutral"),
        ("**Entailment**", "entailment"),
        ("`contradiction`", "contradiction"),
        ("ＮＥＵＴＲＡＬ", "neutral"),
        ("The relation is one of contradiction, I think.", "contradiction"),
        ('{"answer": "entailment"}', "entailment"),
        ("Answer: neutral", "neutral"),
        ("**Answer:** neutral.", "neutral"),
        ("It is not entailment, it is neutral.", "neutral"),
        ("Entailment\n\nThe hypothesis is no contradiction of the premise.", "entailment"),
        ("It may be entailment or contradiction; both fail.\n\nFinal answer: neutral", "neutral"),
        ("<think>entailment? contradiction?</think>\n\nneutral", "neutral"),
        ("entailment? contradiction?</think> neutral", "neutral"),
        ("neutral neutral", "neutral"),
        ("", None),
        ("I cannot say.", None),
        ("entailment or neutral", None),
        ("Answer: neutral\nAnswer: entailment", None),
        ("entailments", None),
        ("non-neutral", None),
        ("not neutral", None),
        ("<think>I think of entailment", None),
        ("42", None),
    ],
)
def test_one_of_several_names(answer: str, meant: str | None) -> None:
    assert RELATION.read(answer) == meant


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("Yes", "1"),
        ("no.", "0"),
        ("No, they are not paraphrases.", "0"),
        ("Nope", None),
        ("They are not.", None),
        ("yes and no", None),
    ],
)
def test_yes_or_no(answer: str, meant: str | None) -> None:
    assert YES_NO.read(answer) == meant


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        (SCALE, "3.4", 3.4),
        (SCALE, "3,4", 3.4),
        (SCALE, "**3.4**", 3.4),
        (SCALE, "3.", 3.0),
        (SCALE, ".5", 0.5),
        (SCALE, "Score: 3.4/5", 3.4),
        (SCALE, "I would say 3.4 out of 5.", 3.4),
        (SCALE, "3.4/5.0", 3.4),
        (SCALE, "3.4 out of 5.00 points", 3.4),
        (SCALE, "3.4/5.5", None),
        (SCALE, "3.4\n\nText 1 has 2 men and text 2 has 3.", 3.4),
        (SCALE, "٣", 3.0),
        (SCALE, "５", 5.0),
        (SCALE, "Text1 and Text2 share 2.5", 2.5),
        (SCALE, "5.1", None),
        (SCALE, "-1", None),
        (SCALE, "−1", None),
        (SCALE, "–1", None),
        (SCALE, "between 3 and 4", None),
        (SCALE, "3-4", None),
        (SCALE, "3\n4", None),
        (SCALE, "four", None),
        (SCALE, "", None),
        (SHARE, "0.85", 0.85),
        (SHARE, "1", 1.0),
        (SHARE, "0.8 / 1", 0.8),
        (SHARE, "0.8/1.0", 0.8),
        (SHARE, "85%", None),
        (SHARE, "1.000001", None),
        (STARS, "4", 4.0),
        (STARS, "4 stars", 4.0),
        (STARS, "4/5", 4.0),
        (STARS, "4 out of 5 stars", 4.0),
        (STARS, "5/5", 5.0),
        (STARS, "4.0", 4.0),
        (STARS, "4.5", None),
        (STARS, "0", None),
        (STARS, "★★★", None),
        (Number(1, 2, whole=True), "Proposal 2", 2.0),
        (Number(1, 2, whole=True), "2.", 2.0),
        (Number(1, 2, whole=True), "1 or 2", None),
    ],
)
def test_numbers(kind: Number, answer: str, value: float | None) -> None:
    assert kind.read(answer) == value


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("trade; European Union", ("46", "10")),
        ("TRADE, european union.", ("46", "10")),
        ("1. European Union\n2. trade", ("10", "46")),
        ("trade unions", ("99",)),
        ("agriculture, and fisheries", ("56",)),
        ("trade; trade; European Union", ("46", "10")),
        ("none", ()),
        ("None.", ()),
        ("none but trade", ("46",)),
        ("traders", None),
        ("fishing", None),
        ("", None),
    ],
)
def test_lists_of_names(answer: str, meant: tuple[str, ...] | None) -> None:
    assert TOPICS.read(answer) == meant


@given(st.sampled_from([RELATION, YES_NO]), st.data())
def test_names_that_are_written_are_read(kind: OneOf, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(list(kind.names.values())))
    assert kind.read(kind.write(value)) == value


@given(st.lists(st.sampled_from(list(TOPICS.names.values())), unique=True))
def test_lists_that_are_written_are_read(values: list[str]) -> None:
    assert TOPICS.read(TOPICS.write(values)) == tuple(values)


@given(st.floats(0, 5))
def test_numbers_that_are_written_are_read(value: float) -> None:
    assert SCALE.read(SCALE.write(value)) == pytest.approx(value, abs=1e-10)
    assert STARS.read(STARS.write(math.ceil(value) or 1)) == (math.ceil(value) or 1)


@given(st.text() | st.text(st.sampled_from("0123456789.,-/ \n:<think>esno;")))
def test_whatever_is_answered_is_read_as_something_allowed_or_not_at_all(text: str) -> None:
    assert RELATION.read(text) in {*RELATION.names.values(), None}
    assert YES_NO.read(text) in {*YES_NO.names.values(), None}
    number = SCALE.read(text)
    assert number is None or 0 <= number <= 5
    topics = TOPICS.read(text)
    assert topics is None or (set(topics) <= set(TOPICS.names.values()) and len(set(topics)) == len(topics))


def test_texts_are_put_in_as_they_are() -> None:
    prompt = Prompt(template="Is {first} or {{second}} right?\n{first}", answer=YES_NO)
    assert prompt.fill({"first": "{second} {0} %s"}) == "Is {second} {0} %s or {second} right?\n{second} {0} %s"


def test_long_texts_are_cut() -> None:
    prompt = Prompt(template="<{first}>", answer=YES_NO, longest=5)
    assert [prompt.fill({"first": text}) for text in ("12345", "123456")] == ["<12345>", "<12345>"]
