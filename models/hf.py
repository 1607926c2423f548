"""Any transformer: `hf:ORG/NAME` or `hf:FOLDER`, and `?pooling=cls&prefix=query: ` where defaults are wrong."""

from __future__ import annotations

from urllib.parse import unquote

from xrete.errors import UsageError, unknown_name
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
        notes=(
            "hf:FOLDER?pooling=cls&prefix=query: sets pooling (cls, mean or pooler) and prefix, as typed",
            "in a prefix, write %26 for & and %25 for %; such a name has a --model of its own",
        ),
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
    """Splits "FOLDER?pooling=cls&prefix=query: " and finds the files.

    Raises:
        UsageError: an unknown parameter or pooling, or no such model.
    """
    from xrete.encoding.transformer import POOLINGS

    where, _, query = (options.checkpoint or "").partition("?")
    given = {"pooling": "mean", "prefix": ""}
    for setting in filter(None, query.split("&")):
        name, equals, value = setting.partition("=")
        if name not in given or not equals:
            raise unknown_name("parameter of hf", name, given, "as in hf:FOLDER?pooling=cls&prefix=query: ")
        given[name] = unquote(value)
    if given["pooling"] not in POOLINGS:
        raise UsageError(f"unknown pooling {given['pooling']!r}; use one of {', '.join(POOLINGS)}")
    place = find_any("hf", where or None, weights=weights)
    return place, EncodingRecipe(**given, max_length=max_length(place.folder))


MODEL = AnyTransformer()
