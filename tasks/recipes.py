"""How models are fine-tuned for each task: the published recipes, and what the paper's regime needs.

Sources: XTREME's scripts (`scripts/train_*.sh`, 838c13b), AmericasNLI's configs, Sentence-BERT's examples and
MultiEURLEX's trainer. The paper gives no settings of its own. Rates are those of large encoders where a source
distinguishes; `--set rate=…` changes them.
"""

from __future__ import annotations

from dataclasses import replace

from xrete.task import Stage

from .stages.choice import COPA, SIQA
from .stages.nli import ENGLISH, ENGLISH_SPANISH, SNLI, SPANISH
from .stages.squad import SQUAD
from .stages.sts import STS_B
from .stages.wikipedia import WIKIPEDIA

_PAIRS = Stage(objective="classes", epochs=5, rate=3e-5, batch=32)
_SIAMESE = Stage(objective="cosine", epochs=4, rate=2e-5, batch=16, warmup=0.1)
# On all languages at once there is so much data that fewer passes at a lower rate are enough.
_TRANSLATED = replace(_PAIRS, epochs=2, rate=1e-5, warmup=0.06)
INFERENCE = {
    "translate-train": (replace(_TRANSLATED, evaluate_every=2500),),
    "xtreme": (replace(_PAIRS, evaluate_every=100),),
    # Sentence-BERT's first stage, on the task's own data: it keeps a sentence encoder one.
    "siamese": (replace(_SIAMESE, objective="softmax", epochs=1),),
}
_AMERICAS = replace(_PAIRS, rate=5e-6, batch=16, max_length=256, evaluate_every=2500, patience=15)
AMERICAS = {
    "translate-train": (_AMERICAS,),
    "english": (replace(_AMERICAS, name="mnli", task=ENGLISH),),
    "spanish": (replace(_AMERICAS, name="mnli", task=SPANISH),),
    "english+spanish": (replace(_AMERICAS, name="mnli", task=ENGLISH_SPANISH),),
}
PARAPHRASE = {
    "translate-train": (replace(_TRANSLATED, epochs=4, evaluate_every=1000),),
    "xtreme": (replace(_PAIRS, rate=2e-5, evaluate_every=200),),
}
QUALITY = {
    "siamese": (_SIAMESE,),
    "cosent": (replace(_SIAMESE, objective="cosent"),),
    "cross": (replace(_SIAMESE, objective="score", max_length=200),),
}
SIMILARITY = {
    "sentence-bert": (
        replace(_SIAMESE, name="nli", task=SNLI, objective="softmax", epochs=1, select=False),
        replace(_SIAMESE, name="sts", task=STS_B),
    ),
    # sentence-transformers' later advice for scored pairs. It asks for the order of cosines only, not for values
    # that are far from those of encoders which were trained with a low temperature.
    "cosent": (replace(_SIAMESE, name="sts", task=STS_B, objective="cosent"),),
}
SCORED_TRANSLATIONS = replace(_SIAMESE, name="qe", objective="cosent")
"""What people say of translations is a similarity across languages; who uses this adds the task of that data."""
TOPICS = {
    "multieurlex": (
        Stage(
            objective="labels",
            epochs=70,
            one_language=True,
            rate=3e-5,
            batch=8,
            decay="none",
            max_length=512,
            head="linear",
            patience=5,
        ),
    )
}
RATING = {"translate-train": (replace(_TRANSLATED, warmup=0.0, max_length=256),)}
_CHOICE = Stage(objective="choices", epochs=5, rate=3e-5, batch=32, select=False)
CHOICE = {"xtreme": (replace(_CHOICE, name="siqa", task=SIQA), replace(_CHOICE, name="copa", task=COPA))}
# The script takes 4 batches of 4 to a step, so that a question has 3 wrong answers to tell from the right one; here
# it has those of the whole step, 15. Mewsli-X's script does the same with 4 batches of 8.
_RETRIEVAL = Stage(objective="in-batch", epochs=3, rate=2e-5, batch=16)
ANSWERS = {"xtreme-r": (replace(_RETRIEVAL, name="squad", task=SQUAD, max_length=96, max_length_second=256),)}
ENTITIES = {
    "xtreme-r": (
        replace(_RETRIEVAL, name="wikipedia", task=WIKIPEDIA, epochs=2, rate=1e-5, batch=32, max_length=64),
    )
}
