"""Everything that decides a pretraining run, in one place: the settings, what each means, and the named presets.

A config file is TOML with the tables below; unknown keys are errors. The defaults are the recommended reading of
the paper; the presets `paper` and `official` reproduce the two published ones, the paper's text and the authors'
code.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xrete.errors import UsageError, unknown_name
from xrete.files import parse_toml, read_text

from .corpora import DataConfig

PRESETS = ("mini", "small", "e5", "paper", "official")

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scratch(Section):
    """The shape of an encoder that starts from random weights, with a tokenizer trained on the corpora."""

    layers: Size = Field(4, description="Transformer layers.")
    width: Size = Field(256, description="Size of the hidden states, and so of the sentence vectors.")
    heads: Size = Field(4, description="Attention heads.")
    feed_forward: Size = Field(1024, description="Width of the feed-forward layers.")
    vocabulary: Size = Field(8_000, description="Most pieces of the tokenizer.")

    @model_validator(mode="after")
    def _divides(self) -> Scratch:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class EncoderConfig(Section):
    """The cross-lingual encoder M and its momentum copy."""

    start: str = Field(
        "", description="Folder or hub id of an XLM-R-like encoder; empty starts from random weights."
    )
    revision: str | None = Field(None, description="Commit of the hub repository; none takes the newest.")
    scratch: Scratch = Field(Scratch(), description="Its shape, where it starts from random weights.")
    pooling: Literal["cls", "mean", "pooler_dense"] = Field(
        "cls",
        description="Sentence vector: the first token's state (Eq. 1), the mean over tokens, or the pooler and one "
        "more linear layer, as the official code has it.",
    )
    max_length: int = Field(128, ge=3, description="Most tokens read of a sentence, two special tokens included.")
    dropout: Share | Literal["own"] = Field("own", description="Dropout of the query encoder, or its own.")
    attention_dropout: Share | Literal["own"] = Field(
        0.0, description="Dropout of attention weights; 0 lets the fast kernels run. Or the encoder's own."
    )
    key_dropout: bool = Field(False, description="Dropout in the key encoder too, as in the official code.")
    key_momentum: Share = Field(0.999, description="m of the key encoder: keys <- m keys + (1 - m) queries.")


class MaskedLanguageModel(Section):
    """Masked language modelling beside the contrastive losses, against forgetting; off where its weight is 0."""

    weight: Rate = Field(0.0, description="Weight of its loss.")
    share: Share = Field(0.1, description="Share of tokens that are predicted; 80/10/10 masked, random, kept.")
    smoothing: Share = Field(0.0, description="Label smoothing.")


class RankConfig(Section):
    """Semantic ranks and the classifier G that tells them apart."""

    number: int = Field(4, ge=2, description="N: rank 1 is a paraphrase, rank N is irrelevant.")
    classifier: Literal["gmm", "fcn"] = Field(
        "gmm", description="Gaussian mixture, or the fully connected network of the ablation."
    )
    hidden: Count = Field(
        256,
        description="Hidden units of the fully connected network; 0 is one linear layer, as in the official code.",
    )
    start: Literal["moments", "similarities", "normal"] = Field(
        "moments",
        description="Gaussians start from the moments of labelled differences, from `start_similarities`, or from "
        "the standard normal, as in the official code, where all pairs fall into one rank.",
    )
    start_pairs: Size = Field(20_000, description="Labelled pairs that the moments are taken over, at least.")
    shrinkage: Share = Field(0.1, description="How far the variances are drawn towards their mean at the start.")
    zero_means: bool = Field(False, description="Keep the means at 0, so that a rank is the same in both orders.")
    labels: Literal["ceil", "quantile"] = Field(
        "ceil",
        description="Rank of a virtual example of share lambda: ceil(1 + (N - 1) lambda) (below Eq. 3), which "
        "never gives rank 1, or N equal parts of [0, 1].",
    )
    virtual: Size = Field(4, description="Virtual examples of a bitext.")
    mixed: Literal["translation", "anchor"] = Field(
        "translation",
        description="What a virtual example mixes with an unrelated sentence: the translation (Eq. 3), or the "
        "sentence itself, as in the official code, whose lines for the translation are commented out.",
    )
    renormalise: bool = Field(
        True, description="Put virtual examples back on the sphere, where real sentences are."
    )
    real_negatives: bool = Field(True, description="Train on random pairs as rank N, too (Eq. 4).")
    smoothing: Share = Field(0.1, description="Label smoothing of the classifier's cross-entropy.")
    balance: bool = Field(True, description="Average the classifier's loss by rank, then over ranks (Eq. 6 only).")
    typical_start: Literal["data", "linear", "zeros"] = Field(
        "data",
        description="s_r starts at the mean similarity of rank r, at (N - r + 1) / N, or at 0 (official).",
    )
    typical_momentum: Share = Field(0.999, description="epsilon of Eq. 11.")
    self_cells: bool = Field(
        False, description="Count a sentence's own key in Eq. 6 and 11, as a paraphrase, as in the official code."
    )


class LossConfig(Section):
    """The encoder's losses."""

    temperature: float = Field(0.05, gt=0, description="tau of InfoNCE in phase 1 (Eq. 2).")
    low: float = Field(0.05, gt=0, description="tau_1 of ranking InfoNCE, the paraphrases'.")
    high: float = Field(0.1, gt=0, description="tau_{N-1}; those between rise linearly.")
    ranking: Literal["masked", "official"] = Field(
        "masked",
        description="Ranking InfoNCE by logsumexp over those that have a positive (Eq. 20), or the official code's "
        "mean of probabilities with 1e-7 in places.",
    )
    rank_weight: Rate = Field(
        0.05,
        description="Weight of the terms of ranks 2 to N - 1 in Eq. 7, in which it is 1. The term of rank 1 tells "
        "translations from others; the lower ones pull merely related sentences near, and at full weight nearer "
        "than translations are.",
    )
    average: Literal["found", "all"] = Field(
        "found",
        description="Anchors that a rank's term is averaged over: those for which the classifier has found a "
        "candidate of that rank, or all (the expectation in Eq. 7, and the official code), where a rank that few "
        "have counts for little.",
    )
    candidates: Literal["batch+queue", "queue"] = Field(
        "batch+queue",
        description="What a sentence is compared with: keys of the batch and the queue, or the queue.",
    )
    queue: Count = Field(768, description="K: keys kept from earlier batches.")
    drop_duplicates: bool = Field(
        True, description="Leave a candidate out whose text equals the anchor's, or its translation's (phase 1)."
    )
    self_positive: bool = Field(
        False, description="Count a sentence's own key as a paraphrase in phase 2 (as SimCSE does)."
    )


class WarmUp(Section):
    """Phase 1 on bitexts: a, the encoder (Eq. 2); b, the classifier (Eq. 3 and 4)."""

    mlm_steps: Count = Field(
        0, description="Steps of masked language modelling before (phase 0), for encoders from random weights."
    )
    encoder_steps: Count = Field(2_000, description="Steps of phase 1a.")
    classifier_steps: Count = Field(500, description="Steps of phase 1b.")
    order: Literal["sequential", "joint"] = Field(
        "sequential",
        description="Encoder first and then the classifier on a frozen encoder, or both together (Algorithm 1), "
        "for `encoder_steps`.",
    )


class Expectation(Section):
    """Phase 2 on sentences without translations: both modules teach each other (Eq. 6 to 11)."""

    steps: Count = Field(2_000, description="Steps of phase 2; 0 is the ablation with phase 1 only.")
    objective: Literal["ranks", "contrast"] = Field(
        "ranks",
        description="What the encoder learns in phase 2: semantic ranks (Eq. 7), or what it learned in phase 1, "
        "InfoNCE on bitexts (Eq. 2), for as many steps at the same rates: the control that gains of phase 2 are "
        "measured against.",
    )
    encoder_rate: Rate | None = Field(
        None, description="Peak learning rate of the encoder in phase 2; none takes optimisation.encoder_rate."
    )
    classifier_rate: Rate | None = Field(
        None, description="Peak learning rate of the classifier there; none takes optimisation.classifier_rate."
    )
    parallel_fraction: Share = Field(
        0.75,
        description="Share of a batch that are bitexts, whose rank 1 is given: 0 in the paper, 1 in its code. "
        "Without any, hardly an anchor has a true paraphrase among its candidates, and both modules may agree on "
        "false ones; and each sentence without a translation takes the place of one that teaches more.",
    )
    paraphrases: Literal["mutual", "all"] = Field(
        "mutual",
        description="Which pairs that the classifier calls rank 1, and that are not given as bitexts, the encoder "
        "takes for paraphrases: those of which each is the other's likeliest one in the batch, or all, as in the "
        "paper. The others are rank 2.",
    )
    train_classifier: bool = Field(True, description="False keeps the classifier of phase 1: the ablation 'fixed'.")


class Optimisation(Section):
    """Optimisers, schedules, batches."""

    batch: Size = Field(256, description="Sentences of a step, over all processes.")
    encoder_rate: Rate = Field(4e-5, description="Peak learning rate of the encoder.")
    classifier_rate: Rate = Field(1e-3, description="Peak learning rate of the classifier.")
    encoder_optimiser: Literal["adamw", "adam"] = Field("adamw", description="Optimiser of the encoder.")
    weight_decay: Rate = Field(0.0, description="Decoupled weight decay of the encoder's matrices (adamw only).")
    epsilon: float = Field(1e-6, gt=0, description="Adam's epsilon, of the encoder.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How a phase's rates fall to 0."
    )
    warmup: Share = Field(0.1, description="Share of a phase in which its rates rise.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the encoder's gradient, and of the classifier's.")


class Compute(Section):
    """How, not what: none of these changes the result beyond rounding, and beyond what dropout drops."""

    device: str = Field(
        "auto", description="auto, cpu, cuda, cuda:1; under torchrun each process takes its own GPU."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of the transformer, by autocast; similarities, losses and the classifier are float32.",
    )
    attention: Literal["auto", "packed", "sdpa", "eager"] = Field(
        "auto",
        description="packed runs sentences without padding, for XLM-R, RoBERTa, CamemBERT and BERT, not compiled; "
        "auto is packed on a CPU, or eager there in bfloat16, and sdpa on a GPU and for other encoders.",
    )
    group_tokens: Count = Field(
        0,
        description="Most tokens that run at once, as if padded, sorted by length; 0 takes the device's default.",
    )
    cache_tokens: Count = Field(
        0, description="Most padded tokens whose activations are kept; beyond, gradient caching. 0 keeps all."
    )
    checkpoint_activations: bool = Field(False, description="Compute activations twice rather than keep them.")
    compile: bool = Field(False, description="torch.compile of the transformer.")
    sharding: Literal["ddp", "fsdp"] = Field(
        "ddp", description="Copies on every GPU, or parameters spread (FSDP2)."
    )


class Watching(Section):
    """What is measured, shown and kept while a run goes on."""

    log_every: Size = Field(10, description="Steps between lines of the log.")
    score_every: Count = Field(500, description="Steps between scores on `tasks`, and at the end of each phase.")
    tasks: tuple[str, ...] = Field(("tatoeba",), description="Tasks that show head and long-tail retrieval.")
    data: str = Field("auto", description="Their data: auto, hub, mini or a folder.")
    split: str | None = Field(None, description="Their split; none takes each task's first.")
    patience: Count = Field(0, description="Stop phase 2 after so many scores without a better one; 0 goes on.")
    overlap: str = Field(
        "auto",
        description="Test data whose sentences are looked for in the corpora: mini, a folder, or auto, which is "
        "`data` where that is a folder, else mini. The card says what was found. Empty looks for none.",
    )
    guard: Literal["stop", "best", "warn"] = Field(
        "stop",
        description="Where classifier and encoder confirm each other's false paraphrases: stop with an error, end "
        "phase 2 so that the best checkpoint is what comes out, or only warn.",
    )
    guard_every: Count = Field(
        25,
        description="Steps of phase 2 between looks of the guard at 256 held-out bitexts and pairs of 512 held-out "
        "sentences; 0 looks never.",
    )
    save_every: Size = Field(500, description="Steps between checkpoints.")
    keep: Size = Field(2, description="Checkpoints kept, the newest; the best is kept beside them.")
    trackers: tuple[Literal["tensorboard", "trackio"], ...] = Field((), description="Trackers, beside the log.")

    @property
    def test_data(self) -> str:
        """What the corpora are compared with: "mini" or a folder; empty: nothing."""
        if self.overlap != "auto":
            return self.overlap
        return "mini" if self.data in ("auto", "hub", "mini") else self.data


class Config(Section):
    """A pretraining run."""

    seed: int = Field(42, description="Of every random choice.")
    encoder: EncoderConfig = EncoderConfig()
    data: DataConfig = DataConfig()
    ranks: RankConfig = RankConfig()
    loss: LossConfig = LossConfig()
    mlm: MaskedLanguageModel = MaskedLanguageModel()
    warmup: WarmUp = WarmUp()
    em: Expectation = Expectation()
    optimisation: Optimisation = Optimisation()
    compute: Compute = Compute()
    watch: Watching = Watching()

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if self.optimisation.batch % 2 or self.optimisation.batch < 4:
            raise ValueError(
                "optimisation.batch must be even, and 4 or more: pairs, and others to compare them with"
            )
        warmup = self.warmup
        if not any((warmup.mlm_steps, warmup.encoder_steps, warmup.classifier_steps, self.em.steps)):
            raise ValueError("there is nothing to do: every phase has 0 steps")
        if self.loss.candidates == "queue" and not self.loss.queue:
            raise ValueError("loss.candidates = 'queue' needs loss.queue above 0")
        if self.watch.guard == "best" and not (self.watch.tasks and self.watch.score_every):
            raise ValueError("watch.guard = 'best' needs scores: give watch.tasks, and watch.score_every above 0")
        if self.loss.low > self.loss.high:
            raise ValueError("loss.low must not be above loss.high: paraphrases have the lowest temperature")
        return self


def read(preset: str | None, file: Path | None, settings: Iterable[str]) -> Config:
    """Puts a config together: the preset, over it the file, over that the settings.

    Args:
        preset: One of `PRESETS`, or None for the defaults.
        file: A TOML file.
        settings: "key.path=value" with a TOML value, or text as it stands.

    Raises:
        UsageError: an unknown preset or key, a value of the wrong kind, a file that is missing or no TOML.
    """
    values: dict[str, Any] = {}
    if preset:
        if preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS, ", ".join(PRESETS))
        values = tomllib.loads((files(__package__) / "presets" / f"{preset}.toml").read_text("utf-8"))
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: write key.path=value, as in --set em.steps=1000")
        nested = _value(value)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _merge(given, nested)
    for over in (_open(file) if file else {}, given):
        _drop_revision(values, over)
        _merge(values, over)
    return validated(values)


def validated(values: Mapping[str, Any]) -> Config:
    """Checks values from files and command lines.

    Raises:
        UsageError: the first few things that are wrong, with their keys.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        errors = [f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}" for item in error.errors()]
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise UsageError(
            f"config: {'; '.join(errors[:3])}{more} (xrete pretrain emmax --explain lists all keys)"
        ) from None


def dump(config: Config) -> str:
    """Writes a config as TOML with every value explained; `read` reads it back as the same."""
    return "\n".join(_lines(config, ())) + "\n"


def _lines(section: BaseModel, path: tuple[str, ...]) -> Iterator[str]:
    inner = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            inner.append((name, value))
            continue
        yield f"# {field.description}"
        yield f"# {name} =" if value is None else f"{name} = {_toml(value)}"
    for name, value in inner:
        yield ""
        yield f"# {(type(value).__doc__ or '').strip()}"
        yield f"[{'.'.join((*path, name))}]"
        yield from _lines(value, (*path, name))


def _toml(value: Any) -> str:
    """Writes one value; JSON's strings, numbers and lists of them are TOML's, but for one control character."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True, mode="json")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _open(file: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(file, kind="config file"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None


def _value(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _drop_revision(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Forgets the commit of a start that is about to be replaced by another: it is none of that one's."""
    encoder, replaced_by = values.get("encoder"), over.get("encoder")
    if isinstance(encoder, dict) and isinstance(replaced_by, Mapping) and "start" in replaced_by:
        encoder.pop("revision", None)


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
