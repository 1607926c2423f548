"""The plugin `emmax`: scores a checkpoint, and trains one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from xrete.model import Encoder, LoadOptions, ModelCard, ModelIdentity, PretrainOptions

from ..sentence_transformer import load, read_modules
from ..transformer import identity
from ..weights import folder_digest, settings
from .folders import EMBEDDED, PHASES, RUNS, TRAINING, find_encoder

CONTROL = "control"
"""What a record calls phase 2 where it is phase 1a continued."""


def training_of(folder: Path) -> dict[str, Any]:
    """Returns how the encoder in a folder was trained, in brief: what leaderboards group by, and its provenance."""
    card = settings(folder, TRAINING)
    if not card:
        return {}
    config, last = card["config"], PHASES.index(card["phase"])
    steps = {
        "mlm": config["warmup"]["mlm_steps"],
        "encoder": config["warmup"]["encoder_steps"],
        "classifier": config["warmup"]["classifier_steps"],
        "em": config["em"]["steps"],
    }
    overlap = card["overlap"] and {key: card["overlap"][key] for key in ("data", "texts", "found")}
    phases = [phase for phase in PHASES[: last + 1] if steps[phase]]
    if config["em"].get("objective") == "contrast":
        phases = [CONTROL if phase == "em" else phase for phase in phases]
    variant = {}
    if "objective" in config["em"] and {"em", CONTROL} & {*phases}:
        from .config import Config
        from .control import control_of, variant_of

        own = Config.model_validate(config)
        variant = {"variant": variant_of(own), "control": variant_of(control_of(own))}
    return {
        "start": card["start"],
        "phases": phases,
        "classifier": config["ranks"]["classifier"],
        "ranks": config["ranks"]["number"],
        "train_classifier": config["em"]["train_classifier"],
        "seed": config["seed"],
        "corpora": card["corpora"].get("digest"),
        "overlap": overlap,
        **variant,
        **({"stopped": True} if card.get("stopped") else {}),
    }


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
        """Opens the checkpoint; `training` of what is returned says for the record how it was trained."""
        folder = find_encoder(options.checkpoint)
        encoder: Any = load(folder, options, self.card)
        encoder.training = training_of(folder)
        return cast(Encoder, encoder)

    def files(self, options: LoadOptions) -> list[Path]:
        """Returns the card of the checkpoint, for who exports it."""
        folder = find_encoder(options.checkpoint)
        return [folder / name for name in ("README.md", TRAINING) if (folder / name).is_file()]

    def explain(self, options: PretrainOptions) -> str:
        """Returns all settings of a run as TOML, every value explained."""
        from .config import dump, read

        return dump(read(options.preset, options.config, options.settings))

    def pretrain(self, options: PretrainOptions) -> Path:
        """Trains or goes on with a checkpoint; returns the best. A sweep shows a table and returns its folder."""
        if options.sweep:
            from . import sweep

            sweep.run(sweep.load(options.sweep), options)
            return options.out
        from .config import read
        from .pretrain import pretrain

        return pretrain(read(options.preset, options.config, options.settings), options.out, fresh=options.fresh)


MODEL = EmmaX()
