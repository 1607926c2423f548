"""The tokenizer of an encoder from random weights, trained on the corpora with XLM-R's rules and special pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xrete.errors import UsageError, XreteError

from ..tokenizer import unigram, wrap_unigram

SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
"""XLM-R's special pieces, in the order of their ids; "<mask>" comes next here."""
NUMBERED = 1e-4
"""What `tokenizers` puts between the log probabilities of characters that it numbers."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> str:
    """Trains a tokenizer with XLM-R's rules and special pieces, of at most `vocabulary` pieces.

    Returns:
        The file of `read_tokenizer`; of the same texts always the same.

    Raises:
        UsageError: the texts have more characters than that.
    """
    from tokenizers import trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[*SPECIAL.values(), "<mask>"],
        unk_token=SPECIAL["unk"],
        show_progress=False,
    )
    core = unigram()
    try:
        core.train_from_iterator(texts, trainer)
    except XreteError:  # of the texts
        raise
    except Exception as error:  # all that the library raises is of this class
        raise UsageError(
            f"encoder.scratch.vocabulary = {vocabulary}: no tokenizer of this text ({error}); raise it"
        ) from error
    saved = json.loads(core.to_str())
    saved["model"]["vocab"] = in_one_order(saved["model"]["vocab"], first=len(SPECIAL) + 1)
    return json.dumps(saved, ensure_ascii=False)


def read_tokenizer(file: Path, length: int) -> Any:
    """Opens a tokenizer that `train_tokenizer` made, for sentences of at most `length` tokens."""
    from tokenizers import Tokenizer

    return wrap_unigram(Tokenizer.from_file(str(file)), SPECIAL, length)


def in_one_order(pieces: list[tuple[str, float]], first: int) -> list[tuple[str, float]]:
    """Undoes what differs from one training to the next, since the trainer goes through its tables in no order.

    The last digits of log probabilities differ. And characters rarer than every piece are numbered as they come, in
    steps of `NUMBERED` above the least log probability; here they all have the least.

    Args:
        pieces: Pieces and their log probabilities.
        first: How many special ones there are, which stay in front.
    """
    least = min(score for _, score in pieces)
    rare = least + NUMBERED * sum(len(piece) == 1 for piece, _ in pieces)
    settled = [
        (piece, round(least if len(piece) == 1 and score < rare else score, 9)) for piece, score in pieces[first:]
    ]
    return [*pieces[:first], *sorted(settled, key=lambda item: (-item[1], item[0]))]
