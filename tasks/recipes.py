"""How models are fine-tuned for each task: the published recipes, and what the paper's regime needs.

Sources: XTREME's scripts (`scripts/train_*.sh`, 838c13b), AmericasNLI's configs, Sentence-BERT's examples and
MultiEURLEX's trainer. The paper gives no settings of its own. Rates are those of large encoders where a source
distinguishes; `--set rate=…` changes them.
"""

from __future__ import annotations

from dataclasses import replace

from xrete.recipe import Stage

_PAIRS = Stage(objective="classes", epochs=5, rate=3e-5, batch=32)
# On all languages at once there is so much data that fewer passes at a lower rate are enough.
_TRANSLATED = replace(_PAIRS, epochs=2, rate=1e-5, warmup=0.06)
INFERENCE = {
    "translate-train": (replace(_TRANSLATED, evaluate_every=2500),),
    "xtreme": (replace(_PAIRS, evaluate_every=100),),
}
AMERICAS = {
    "americasnli": (replace(_PAIRS, rate=5e-6, batch=16, max_length=256, evaluate_every=2500, patience=15),),
}
PARAPHRASE = {
    "translate-train": (replace(_TRANSLATED, epochs=4, evaluate_every=1000),),
    "xtreme": (replace(_PAIRS, rate=2e-5, evaluate_every=200),),
}
_SIAMESE = Stage(objective="cosine", epochs=4, rate=2e-5, batch=16, warmup=0.1)
QUALITY = {
    "siamese": (_SIAMESE,),
    "cross": (replace(_SIAMESE, objective="score", max_length=200),),
}
SIMILARITY = {"sentence-bert": (replace(_SIAMESE, name="sts"),)}
TOPICS = {
    "multieurlex": (
        Stage(
            objective="labels",
            epochs=70,
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
CHOICE = {"xtreme": (Stage(name="copa", objective="choices", epochs=5, rate=3e-5, batch=32, select=False),)}
_RETRIEVAL = Stage(objective="in-batch", epochs=3, rate=2e-5, batch=16, max_length=96, max_length_second=256)
ANSWERS = {"xtreme-r": (_RETRIEVAL,)}
ENTITIES = {"xtreme-r": (replace(_RETRIEVAL, epochs=2, rate=1e-5, batch=32, max_length=64, max_length_second=64),)}
