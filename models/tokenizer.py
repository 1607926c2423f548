"""Loading the right tokenizer, or none.

Where transformers 5 finds no vocabulary that it can read, it silently builds a tokenizer of five pieces that reads
every word as unknown. For checkpoints with XLM-R's vocabulary that happens with a lone `sentencepiece.bpe.model`
beside another model type, and wherever the optional packages sentencepiece and protobuf are missing. So such a file
is read here, and whatever was loaded is checked.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xrete.errors import DataError, XreteError

from .weights import settings

XLMR_FILE = "sentencepiece.bpe.model"
XLMR_TYPES = ("xlm-roberta", "xlm-roberta-xl", "bert")
PROBE = "The year 2024: two 10 in a the and. Das ist ein Haus. Это дом. これは家です。 هذا بيت."


def load_tokenizer(folder: Path, config: Any) -> Any:
    """Loads a folder's tokenizer.

    Args:
        folder: Where the model is.
        config: The model's transformers config.

    Raises:
        XreteError: it needs a package that is not installed, or what transformers built is not the model's.
    """
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file() and (folder / XLMR_FILE).is_file() and _is_xlmr(folder, config):
        tokenizer = read_xlmr(folder / XLMR_FILE)
    else:
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # tokenizers raises bare exceptions
            reason = " ".join(str(error).split())
            raise XreteError(f"{folder}: the tokenizer does not load: {reason}") from error
    check_tokenizer(tokenizer, config, folder)
    return tokenizer


def check_tokenizer(tokenizer: Any, config: Any, folder: Path) -> None:
    """Refuses a tokenizer that cannot be the model's.

    Args:
        tokenizer: As loaded.
        config: The model's transformers config. It says how many rows the embedding matrix has, which models pad,
            but do not double; of one that hashes characters (CANINE) it says nothing.
        folder: Where it came from, for the sentence.

    Raises:
        XreteError: it has less than half of the pieces, or knows no word.
    """
    pieces, vocabulary = len(tokenizer), getattr(config, "vocab_size", 0)
    known = set(tokenizer(PROBE, add_special_tokens=False, verbose=False)["input_ids"]) - {tokenizer.unk_token_id}
    if pieces < vocabulary / 2 or not known:
        raise XreteError(
            f"{folder}: transformers built a tokenizer of {pieces:,} pieces for a model of {vocabulary:,}"
            f"{'' if known else ' and it knows no word'}; put the model's tokenizer.json (or {XLMR_FILE}) there"
        )


def read_xlmr(path: Path) -> Any:
    """Builds XLM-R's tokenizer from its SentencePiece file.

    fairseq numbers <s> <pad> </s> <unk> first, drops SentencePiece's own three, and ends with <mask>.

    Raises:
        DataError: the file is damaged.
    """
    import transformers

    backend: Any = transformers.XLMRobertaTokenizer  # its annotations know the character map only as text
    pieces, characters = read_sentencepiece(path)
    first = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    return backend(
        vocab=[*first, *pieces[3:], ("<mask>", 0.0)],
        _spm_precompiled_charsmap=characters or None,
        model_max_length=512,
    )


def unigram(pieces: list[tuple[str, float]] | None = None, unknown: int | None = None) -> Any:
    """Builds the core of a tokenizer with XLM-R's rules: NFKC text, then Unigram pieces of words.

    Args:
        pieces: Pieces with their log probabilities; None leaves them to be trained.
        unknown: Which of them stands for what no piece covers.
    """
    import tokenizers
    from tokenizers import normalizers, pre_tokenizers

    core = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=unknown))
    spaces = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    core.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), spaces])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = tokenizers.decoders.Metaspace()
    return core


def wrap_unigram(core: Any, special: Mapping[str, str], max_length: int | None) -> Any:
    """Makes a transformers tokenizer of a core, which reads a sentence as <s> pieces </s>.

    Args:
        core: Of `unigram`.
        special: The pieces called bos, eos, pad and unk.
        max_length: Most tokens of a sentence, or None.
    """
    import transformers
    from tokenizers import processors

    bos, eos = special["bos"], special["eos"]
    core.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(token, core.token_to_id(token)) for token in (bos, eos)],
    )
    backend: Any = transformers.PreTrainedTokenizerFast  # its own annotations are incomplete
    return backend(
        tokenizer_object=core,
        bos_token=bos,
        cls_token=bos,
        eos_token=eos,
        sep_token=eos,
        pad_token=special["pad"],
        unk_token=special["unk"],
        mask_token="<mask>",
        model_max_length=max_length,
    )


def read_sentencepiece(path: Path) -> tuple[list[tuple[str, float]], bytes]:
    """Reads a SentencePiece model: its pieces with their log probabilities, and its character map.

    The file is one protobuf message: field 1, repeated, holds the pieces (1 text, 2 score); field 3 the normaliser
    (2 character map).

    Raises:
        DataError: the file is damaged.
    """
    try:
        message = _fields(memoryview(path.read_bytes()))
        pieces = []
        for raw in message[1]:
            piece = _fields(raw)
            pieces.append((bytes(piece[1][0]).decode(), struct.unpack("<f", piece[2][0])[0] if piece[2] else 0.0))
        return pieces, bytes(_fields(message[3][0])[2][0])
    except (IndexError, ValueError, struct.error) as error:
        raise DataError(f"{path} is not a SentencePiece model ({error}); fetch the model again") from error


def _fields(message: memoryview) -> dict[int, list[memoryview]]:
    """Splits a protobuf message into its fields; those of variable length and of 4 or 8 bytes as bytes."""
    fields = defaultdict(list)
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        start = at
        match tag & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                size, start = _varint(message, at)
                at = start + size
            case 5:
                at += 4
            case kind:
                raise ValueError(f"unknown field type {kind} at byte {at}")
        fields[tag >> 3].append(message[start:at])
    return fields


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads a number of 7 bits a byte; returns it and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _is_xlmr(folder: Path, config: Any) -> bool:
    declared = settings(folder, "tokenizer_config.json").get("tokenizer_class")
    return declared.startswith("XLMRoberta") if declared else config.model_type in XLMR_TYPES
