"""The control of phase 2: what phase 1 comes to in as many more steps at the same rates.

What phase 2 gains over the end of phase 1 may be what more steps gain; only its gain over the control is its own.
"""

from __future__ import annotations

import json

from xrete.files import digest

from .config import Config

LOSS = ("low", "high", "ranking", "rank_weight", "average", "self_positive")
"""Settings of the loss that phase 1 does not read."""


def control_of(config: Config) -> Config:
    """Returns the settings of the control; the same for all configs that differ in what it does not read alone."""
    values, plain = config.model_dump(mode="json"), Config().model_dump(mode="json")
    steps = {key: values["em"][key] for key in ("steps", "encoder_rate")}
    values["em"] = plain["em"] | steps | {"objective": "contrast"}
    values["ranks"] = plain["ranks"]
    values["loss"] |= {key: plain["loss"][key] for key in LOSS}
    values["warmup"]["classifier_steps"] = 0
    values["optimisation"]["classifier_rate"] = plain["optimisation"]["classifier_rate"]
    return Config.model_validate(values)


def variant_of(config: Config) -> str:
    """Returns a digest of all settings that change what comes out, but for the seed."""
    config = control_of(config) if config.em.objective == "contrast" else config
    values = config.model_dump(mode="json", exclude={"seed", "compute", "watch"})
    return digest([json.dumps(values, sort_keys=True)])[:16]
