"""Any model of sentence-transformers: `st:ORG/NAME` or `st:FOLDER`."""

from __future__ import annotations

from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity

from .sentence_transformer import load, read_modules
from .transformer import identity
from .weights import find_any


class AnySentenceTransformer:
    """The plugin."""

    card = ModelCard(
        name="st",
        title="any model of sentence-transformers",
        licence="the model's own",
        languages="the model's own",
        parameters=None,
        dimension=None,
        max_length=None,
        trained_on=None,
        citation="Reimers and Gurevych 2019, Sentence-BERT, EMNLP",
        checkpoint="required",
        needs="st:ORG/NAME (local hub cache, else the hub) or st:FOLDER with a modules.json",
        notes=("pooling, dense layers, normalisation and default prompt are the model's own",),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the commit, or the digest of the user's folder."""
        place = find_any(self.card.name, options.checkpoint, weights=False)
        return identity(self.card, options, place.revision, read_modules(place.folder).recipe)

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the modules: in the engine where it gives the same vectors, else in sentence-transformers."""
        return load(find_any(self.card.name, options.checkpoint, weights=True).folder, options, self.card)


MODEL = AnySentenceTransformer()
