"""Shapes: what kinds of tasks there are. A shape owns its data type, its scorer and its protocols' inner part.

A shape turns data into *items* (`shapes.metric`), and items into scores. `shapes.contract` says what it must offer.
A new one is one module here and one line in this table.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from xrete.errors import unknown_name

if TYPE_CHECKING:
    from xrete.shapes.contract import Shape

SHAPES: dict[str, str] = {
    "bitext": "xrete.shapes.bitext:SHAPE",
    "mining": "xrete.shapes.mining:SHAPE",
    "ranking": "xrete.shapes.ranking:SHAPE",
    "geometry": "xrete.shapes.geometry:SHAPE",
    "similarity": "xrete.shapes.similarity:SHAPE",
    "classification": "xrete.shapes.classification:SHAPE",
    "ordinal": "xrete.shapes.classification:ORDINAL",
    "multilabel": "xrete.shapes.multilabel:SHAPE",
    "choice": "xrete.shapes.choice:SHAPE",
}


def load_shape(name: str) -> Shape:
    """Returns the shape of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SHAPES:
        raise unknown_name("shape", name, SHAPES, "see xrete/shapes")
    module, _, attribute = SHAPES[name].partition(":")
    shape: Shape = getattr(import_module(module), attribute)
    return shape
