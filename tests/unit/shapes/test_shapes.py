"""Shapes as a table: every one loads by its name, and has certificates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrete.check.certificates import theory_of
from xrete.check.certificates.contract import Certificate, Theory, vectors_by_key
from xrete.errors import UsageError
from xrete.shapes import SHAPES, load_shape
from xrete.shapes.bitext import BitextRetrieval


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_loads_and_carries_its_name(name: str) -> None:
    shape = load_shape(name)
    assert shape.name == name
    assert shape.metrics


def test_an_unknown_shape_brings_near_names() -> None:
    with pytest.raises(UsageError, match="unknown shape 'bitex'; did you mean bitext"):
        load_shape("bitex")


@given(keys=st.dictionaries(st.text(), st.integers(0, 50), min_size=1), seed=st.integers(0, 9))
def test_texts_of_one_key_have_one_unit_vector(keys: dict[str, int], seed: int) -> None:
    texts = list(keys)
    vectors = vectors_by_key(keys, seed=seed)(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-6)
    cosines = vectors @ vectors.T
    for i, left in enumerate(texts):
        for j, right in enumerate(texts):
            assert (cosines[i, j] > 0.999) == (keys[left] == keys[right])


def test_every_shape_has_certificates() -> None:
    for name in SHAPES:
        assert theory_of(load_shape(name)) != Theory(), name


def test_a_shape_may_bring_its_own_certificates() -> None:
    own = Theory(zero_shot=lambda shape, data: [Certificate("oracle", None, 1, 1)])

    class Toy(BitextRetrieval):
        def theory(self) -> Theory:
            return own

    assert theory_of(Toy()) is own
