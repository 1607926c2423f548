"""The plugin `emmax`: scores a checkpoint, and trains one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity, PretrainOptions

from ..sentence_transformer import load, read_modules
from ..transformer import identity
from ..weights import folder_digest
from .runs import EMBEDDED, RUNS, find_encoder


class EmmaX:
    """The plugin."""

    card = ModelCard(
        name="emmax",
        title="EMMA-X, pretrained with 'xrete pretrain emmax'",
        licence="that of the checkpoint",
        languages="those of the checkpoint; the paper's: 94",
        parameters=None,
        dimension=None,
        max_length=None,
        trained_on=None,
        citation="Guo et al. 2023, EMMA-X, NeurIPS, arXiv 2310.17233",
        checkpoint="optional",
        needs=f"a run, a checkpoint or an exported folder; else the newest below {RUNS}/, else the embedded one",
        notes=("no checkpoint of the authors is known; the embedded one is small and shows that everything runs",),
    )

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Names the checkpoint that is taken, and its digest."""
        folder = find_encoder(options.checkpoint)
        named = identity(self.card, options, folder_digest(folder), read_modules(folder).recipe)
        if options.checkpoint:
            return named
        taken = "embedded" if folder == EMBEDDED else folder.parent if folder.name == "model" else folder
        return replace(named, name=f"{self.card.name}:{taken}")

    def load(self, options: LoadOptions) -> Encoder:
        """Opens the checkpoint."""
        return load(find_encoder(options.checkpoint), options)

    def explain(self, options: PretrainOptions) -> str:
        """Returns all settings of a run as TOML, every value explained."""
        from .config import dump, read

        return dump(read(options.preset, options.config, options.settings))

    def pretrain(self, options: PretrainOptions) -> Path:
        """Trains a checkpoint, or goes on with one; returns the best. A sweep's is its folder, and shows a table."""
        if options.sweep:
            from . import sweep

            sweep.run(sweep.load(options.sweep), options)
            return options.out
        from .config import read
        from .pretrain import pretrain

        return pretrain(read(options.preset, options.config, options.settings), options.out, fresh=options.fresh)


MODEL = EmmaX()
