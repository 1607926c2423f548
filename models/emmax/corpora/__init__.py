"""Text to train on: prepared once (`prepare`), drawn in batches (`Sampler`), compared with tests (`overlap`)."""

from .config import DataConfig
from .overlap import overlap
from .prepare import Progress, prepare
from .prepared import Corpus, Prepared
from .sampler import Batch, Sampler

__all__ = ["Batch", "Corpus", "DataConfig", "Prepared", "Progress", "Sampler", "overlap", "prepare"]
