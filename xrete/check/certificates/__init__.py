"""Certificates: models whose scores follow from theory, one module a shape, and `protocols`."""

from __future__ import annotations

from importlib import import_module

from xrete.check.certificates.contract import CertifiedShape, Theory
from xrete.shapes.contract import Shape

THEORIES: dict[str, str] = {
    "bitext": "bitext",
    "mining": "mining",
    "ranking": "ranking",
    "geometry": "geometry",
    "similarity": "similarity",
    "classification": "classification",
    "ordinal": "classification",
    "multilabel": "multilabel",
    "choice": "choice",
}
"""Names of shapes to modules of this folder."""


def theory_of(shape: Shape) -> Theory:
    """Returns what theory knows of a shape's scores: what the shape brings, else the table's, else nothing."""
    if isinstance(shape, CertifiedShape):
        return shape.theory()
    if shape.name not in THEORIES:
        return Theory()
    theory: Theory = import_module(f"{__name__}.{THEORIES[shape.name]}").THEORY
    return theory
