"""Any transformer: `hf:ORG/NAME` or `hf:FOLDER`, and `?pooling=cls&prefix=query: ` where defaults are wrong."""

from __future__ import annotations

from xrete.errors import UsageError
from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity

from .transformer import EncodingRecipe, identity, load, max_length
from .weights import Place, find_any


class AnyTransformer:
    """The plugin."""

    card = ModelCard(
        name="hf",
        title="any transformer, mean pooling unless told otherwise",
        licence="the model's own",
        languages="the model's own",
        parameters=None,
        dimension=None,
        max_length=None,
        trained_on=None,
        citation="",
        checkpoint="required",
        needs="hf:ORG/NAME (local hub cache, else the hub) or hf:FOLDER with a config.json",
        notes=("hf:FOLDER?pooling=cls sets the pooling: cls, mean (which is taken without it) or pooler",),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the commit, or the digest of the user's folder."""
        place, recipe = _read(options, weights=False)
        return identity(self.card, options, place.revision, recipe)

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the weights in the engine."""
        place, recipe = _read(options, weights=True)
        return load(place.folder, recipe, options)


def _read(options: LoadOptions, *, weights: bool) -> tuple[Place, EncodingRecipe]:
    """Finds the files, and says how they are read.

    Raises:
        UsageError: an unknown pooling, or no such model.
    """
    from xrete.encoding.transformer import POOLINGS

    pooling = options.pooling or "mean"
    if pooling not in POOLINGS:
        raise UsageError(f"unknown pooling {pooling!r}; use one of {', '.join(POOLINGS)}")
    place = find_any("hf", options.checkpoint, weights=weights)
    return place, EncodingRecipe(pooling=pooling, max_length=max_length(place.folder))


MODEL = AnyTransformer()
