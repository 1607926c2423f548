"""How EMMA-X was trained, in the words of the paper's ablation tables (Tables 5 and 6).

A record's `model.training` says it with these keys: `phases`, names of the phases that were run ("encoder",
"classifier", "em", …; "control" where phase 1 was continued in place of phase 2); `classifier`, "gmm" or "fcn";
`ranks`, their number N; and `train_classifier`, False where phase 2 kept the classifier of phase 1. `variant` is a
digest of all settings but the `seed`, and `control` that of the run to compare with, phase 1 continued for as many
steps. `stopped` is there, and True, where the guard of phase 2 stopped the run before its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xrete.record import ModelPart

LAST_PHASE = "em"
CONTROL = "control"
DEFAULT_RANKS = 4

Phases = Literal["phase 1", "control", "fixed", "full"]


@dataclass(frozen=True)
class Setting:
    """One setting of the ablations.

    Attributes:
        phases: Phase 1 only, phase 1 continued, phase 2 with the classifier of phase 1, or all of it.
        classifier: "gmm" or "fcn".
        ranks: N.
    """

    phases: Phases
    classifier: str
    ranks: int

    @staticmethod
    def of(model: ModelPart) -> Setting | None:
        """Reads the setting; None where the record does not say it."""
        training = model.training or {}
        phases, classifier, ranks = (training.get(key) for key in ("phases", "classifier", "ranks"))
        if not isinstance(phases, list) or classifier not in ("gmm", "fcn") or type(ranks) is not int:
            return None
        if CONTROL in phases:
            return Setting("control", classifier, ranks)
        if LAST_PHASE not in phases:
            return Setting("phase 1", classifier, ranks)
        return Setting("full" if training.get("train_classifier", True) else "fixed", classifier, ranks)

    @property
    def label(self) -> str:
        """As Table 6 writes it, with what Table 5 varies before it."""
        if self.phases == "control":
            return "+ Phase 1 continued"
        before = {"phase 1": "+ Phase 1 ", "fixed": f"+ fixed {self.classifier.upper()} ", "full": ""}
        return f"{before[self.phases]}({self.classifier.upper()}, N = {self.ranks})"

    @property
    def published(self) -> str | None:
        """The name by which `results/paper` knows it."""
        if self.phases == "control":
            return None
        if (self.classifier, self.ranks) == ("gmm", DEFAULT_RANKS):
            return {"phase 1": "emmax-phase1", "fixed": "emmax-fixed-gmm", "full": "emmax"}[self.phases]
        if self.phases != "full":
            return None
        if self.classifier == "gmm":
            return f"emmax-n{self.ranks}"
        return "emmax-fcn" if self.ranks == DEFAULT_RANKS else None


def published_name(model: ModelPart) -> str | None:
    """Returns the name by which `results/paper` would know a model: that of its setting, else its own."""
    setting = Setting.of(model)
    return setting.published if setting else model.name
