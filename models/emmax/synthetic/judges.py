"""What both modules of a checkpoint say of the ranks of sentences: the classifier G, and the encoder M."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

import xrete
from xrete.files import parse_json, read_text

from ..classifier import FullyConnected, GaussianMixture
from ..config import Config, validated
from ..folders import STATE
from ..ranks import TypicalSimilarity


@dataclass(frozen=True)
class Judgement:
    """Of every text with every text, [n, n].

    Attributes:
        similarities: Cosines.
        classifier: c_G, ranks from 0 (Eq. 9).
        encoder: c_M, ranks from 0 (Eq. 10).
    """

    similarities: NDArray[np.float32]
    classifier: NDArray[np.int64]
    encoder: NDArray[np.int64]


def judge(folder: Path, texts: Sequence[str]) -> Judgement:
    """Asks both modules of a checkpoint whose classifier is trained."""
    config = config_of(folder).ranks
    vectors = torch.from_numpy(xrete.load_model(f"emmax:{folder}", device="cpu").encode(texts))
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    classifier: GaussianMixture | FullyConnected = (
        GaussianMixture(config.number, vectors.shape[1])
        if config.classifier == "gmm"
        else FullyConnected(config.number, vectors.shape[1], config.hidden)
    )
    typical = TypicalSimilarity(config.number, config.typical_start, config.typical_momentum)
    state = load_file(folder / "state.safetensors")
    for name, module in (("classifier", classifier), ("typical", typical)):
        prefix = f"{name}/"
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    with torch.no_grad():
        similarities = vectors @ vectors.T
        by_classifier = classifier.cells(vectors, vectors).argmax(0)
        return Judgement(similarities.numpy(), by_classifier.numpy(), typical.ranks(similarities).numpy())


def config_of(folder: Path) -> Config:
    """Returns the settings that a checkpoint was made with."""
    return validated(parse_json(read_text(folder / STATE))["config"])
