"""A world with known answers: artificial languages over one set of meanings.

The scientific test of pretraining: the true semantic rank of any two sentences is known, and languages without
bitexts can be watched. `python -m xrete.models.emmax.synthetic FOLDER` writes a world's corpora.

    world = World(WorldConfig(head=4, tail=4, cognates=0.3))
    world.write(Path("world"))
    meanings = world.read(texts)
    true_ranks(meanings[:, None], meanings, ranks=4)
"""

from .config import WorldConfig
from .meanings import true_ranks
from .task import WorldTask
from .world import World

__all__ = ["World", "WorldConfig", "WorldTask", "true_ranks"]
