"""The contract suite: what any task or model plugin can be held to, for its author (`xrete check NAME`)."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from xrete import registry
from xrete.check.certificates import theory_of
from xrete.check.certificates.protocols import certificates
from xrete.dataset import Dataset, read_mini
from xrete.encoding.embedder import PROBE
from xrete.errors import XreteError, unknown_name
from xrete.files import digest
from xrete.model import ChatModel, LimitedEncoder, LoadedModel, ModelCard, Reply
from xrete.protocols import PROTOCOLS, Settings, load_protocol
from xrete.shapes import SHAPES, load_shape
from xrete.shapes.contract import JointShape
from xrete.sources import Mini
from xrete.task import Task, TaskCard

TOLERANCE = 1e-4
"""Most that a float32 vector of unit length may change with the order or number of sentences beside it."""


@dataclass(frozen=True)
class RuleFinding:
    """One rule, whether it holds, and what was seen where it does not."""

    rule: str
    passed: bool
    detail: str = ""


def check_plugin(name: str) -> list[RuleFinding]:
    """Checks the task or the model of that name.

    Args:
        name: As users type it: a model may have a checkpoint, and a task a family.

    Raises:
        UsageError: there is neither a task nor a model of that name.
    """
    plugin = registry.model_stem(name)
    if name in registry.names("tasks") or plugin in registry.names("families"):
        return list(_guarded(check_task(name)))
    if plugin in registry.names("models"):
        return list(_guarded(check_model(name)))
    known = [*registry.names("tasks"), *registry.names("models")]
    raise unknown_name("task or model", name, known, "run 'xrete tasks' and 'xrete models'")


def check_task(name: str) -> Iterator[RuleFinding]:
    """Checks a task: its card, its file names, and its scores of models whose score is known beforehand."""
    try:
        task = registry.task(name)
    except XreteError as error:
        yield RuleFinding("the plugin loads", False, str(error))
        return
    yield RuleFinding("the plugin loads", True)
    if name in registry.names("tasks"):
        yield _named(name, registry.names("tasks")[name].load().card.name)
    yield from check_card(task.card)
    if task.card.shape not in SHAPES:
        return
    yield _holds("files are relative paths inside the data folder", lambda: _paths(task))
    mini = {x: data for x in task.card.languages if (data := read_mini(task, x)) is not None}
    if not mini:
        yield RuleFinding("the mini sample, where there is one, is scored", True, "there is none")
        return
    yield _holds("reading twice gives the same", lambda: _reads_twice(task, mini))
    for language in mini:
        for protocol in task.card.protocols:
            yield from _certified(task, language, protocol)
    yield from _certified_together(task, list(mini))


def check_model(name: str) -> Iterator[RuleFinding]:
    """Checks a model: its card, its identity, and its vectors of the probe; a chat model answers one question."""
    try:
        request = registry.request_model(name)
        model = request.load()
    except XreteError as error:
        yield RuleFinding("the model loads", False, str(error))
        return
    yield RuleFinding("the model loads", True)
    card = model.card
    yield _named(registry.model_stem(name), card.name)
    yield RuleFinding("the card says licence and languages", bool(card.licence and card.languages))
    again = registry.request_model(name).identity
    yield RuleFinding("its identity does not change", again == model.identity, f"{model.identity} then {again}")
    yield from _answers(model) if again.kind == "chat" else _vectors(model, card)


def _answers(model: LoadedModel) -> Iterator[RuleFinding]:
    if not isinstance(model.encoder, ChatModel):
        yield RuleFinding("it can be asked", False, "it has no method ask(questions, keep)")
        return
    replies: dict[str, Reply] = {}
    model.encoder.ask([PROBE[1]], replies.__setitem__)
    yield RuleFinding("it answers", list(replies) == [PROBE[1]] and bool(replies[PROBE[1]].text), f"{replies}")


def _vectors(model: LoadedModel, card: ModelCard) -> Iterator[RuleFinding]:
    texts = list(PROBE)
    vectors = np.asarray(model.encode(texts))
    yield RuleFinding(
        "one vector a text", vectors.ndim == 2 and len(vectors) == len(texts), f"shape {vectors.shape}"
    )
    if vectors.ndim != 2 or len(vectors) != len(texts):
        return  # the other rules need vectors
    yield RuleFinding("float32", vectors.dtype == np.float32, f"{vectors.dtype}")
    yield RuleFinding("finite and not zero", bool(np.isfinite(vectors).all() and vectors.any(axis=1).all()))
    expected = card.dimension or vectors.shape[1]
    yield RuleFinding(
        "the card's dimension", vectors.shape[1] == expected, f"{vectors.shape[1]}, the card: {expected}"
    )
    yield _close("the same call gives the same vectors", vectors, model.encode(texts))
    yield _close("order does not matter", vectors, np.asarray(model.encode(texts[::-1]))[::-1])
    yield _close("neighbours do not matter", vectors, np.concatenate([model.encode([text]) for text in texts]))
    different = len({row.round(3).tobytes() for row in vectors}) == len(texts)
    yield RuleFinding("different texts, different vectors", different)
    yield RuleFinding(
        "it can read less, where it has a limit",
        model.identity.max_length is None or isinstance(model.encoder, LimitedEncoder),
        "it has no method limited(max_length)",
    )
    for method in ("truncated", "token_ids"):
        if offered := getattr(model.encoder, method, None):
            yield RuleFinding(f"{method} answers for every text", len(offered(texts)) == len(texts))


def _named(name: str, on_card: str) -> RuleFinding:
    """A card may say "acme/animals" or "animals" for what users type as "acme/animals"."""
    return RuleFinding("the card names it", on_card in (name, name.rpartition("/")[2]), f"card says {on_card!r}")


def check_card(card: TaskCard) -> Iterator[RuleFinding]:
    """Yields what holds, or does not, of a task's card alone."""
    members = {x for group in card.groups.values() for x in group}
    unknown = sorted(members - set(card.languages))
    yield RuleFinding("the shape is known", card.shape in SHAPES, card.shape)
    if card.shape in SHAPES:
        metrics = load_shape(card.shape).metrics
        yield RuleFinding(
            "the metric is one of the shape's", card.metric in metrics, f"{card.metric}, of {list(metrics)}"
        )
    yield RuleFinding("languages are named once", len(set(card.languages)) == len(card.languages) > 0)
    yield RuleFinding("groups hold known languages", not unknown, " ".join(unknown))
    strangers = sorted(set(card.aliases.values()) - set(card.languages))
    yield RuleFinding("aliases are of known languages", not strangers, " ".join(strangers))
    protocols = [x for x in card.protocols if x not in PROTOCOLS]
    yield RuleFinding("protocols are known", bool(card.protocols) and not protocols, " ".join(protocols))
    for name in PROTOCOLS:
        protocol = load_protocol(name)
        if protocol.NEEDS is not None:
            goes_together = bool(getattr(card, protocol.NEEDS)) == (name in card.protocols)
            yield RuleFinding(f"'{protocol.NEEDS}' and the protocol '{name}' go together", goes_together)
        if name in card.protocols and card.shape in SHAPES:
            fits = protocol.fits(load_shape(card.shape))
            yield RuleFinding(f"the shape is one for the protocol '{name}'", fits, f"{card.shape} is not")
    yield RuleFinding("licence, citation and layout are given", all((card.licence, card.citation, card.layout)))
    pinned = card.hub is None or re.fullmatch(r"[0-9a-f]{40}", card.hub.revision) is not None
    yield RuleFinding("the hub revision is a full commit", pinned, card.hub.revision if card.hub else "")
    splits = [x for x in card.counts if x not in (*card.splits, *card.training)]
    yield RuleFinding("counts are of known splits", bool(card.splits) and not splits, " ".join(splits))


def _paths(task: Task) -> str:
    files = [file for x in task.card.languages for split in task.card.splits for file in task.files(x, split)]
    bad = [file for file in files if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts]
    return f"{bad[0]}" if bad else ""


def _reads_twice(task: Task, mini: dict[str, Any]) -> str:
    shape = load_shape(task.card.shape)
    for language, data in mini.items():
        if digest(shape.content(data)) != digest(shape.content(read_mini(task, language))):
            return f"{language} differs"
    return ""


def _certified(task: Task, language: str, protocol_name: str) -> Iterator[RuleFinding]:
    """Scores models whose score is known from theory, on the mini sample."""
    dataset = Dataset(task, Mini(), languages=[language])
    protocol, metrics = load_protocol(protocol_name), dataset.shape.metrics
    for certificate in certificates(protocol_name, dataset, language, Settings()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a constant model
            ((_, items),) = protocol.outcomes(dataset, certificate.encode, [language], Settings())
        score = metrics[certificate.metric or task.card.metric].statistic(items)
        fits = certificate.low - 1e-9 <= score <= certificate.high + 1e-9
        bounds = f"{score:.4f}, theory says [{certificate.low:.4f}, {certificate.high:.4f}]"
        where = language if protocol_name == task.card.protocols[0] else f"{language}, {protocol_name}"
        rule = f"{where}: the {certificate.name} model scores what theory says"
        yield RuleFinding(rule, fits, "" if fits else bounds)


def _certified_together(task: Task, languages: list[str]) -> Iterator[RuleFinding]:
    """The same for a shape that looks at all languages at once."""
    shape = load_shape(task.card.shape)
    if not isinstance(shape, JointShape):
        return
    dataset = Dataset(task, Mini(), languages=languages)
    for certificate in theory_of(shape).joint(shape, dataset):
        values = shape.joint(dataset, certificate.encode).groups["all"]
        wrong = [
            f"{name} {values.get(name, math.nan):.6g}, theory says [{low:.6g}, {high:.6g}]"
            for name, (low, high) in certificate.bounds.items()
            if not low - 1e-9 <= values.get(name, math.nan) <= high + 1e-9
        ]
        rule = (
            f"all languages: the {certificate.name} model has the {', '.join(certificate.bounds)} that theory says"
        )
        yield RuleFinding(rule, not wrong, "; ".join(wrong))


def _guarded(findings: Iterator[RuleFinding]) -> Iterator[RuleFinding]:
    """Ends with a finding where a plugin raises: its author asked what is wrong with it."""
    try:
        yield from findings
    except Exception as error:  # a plugin may raise anything
        yield RuleFinding("nothing raises an error", False, f"{type(error).__name__}: {error}")


def _holds(rule: str, problem: Callable[[], str]) -> RuleFinding:
    """Runs a check that returns what is wrong, or nothing; an error is a finding too."""
    try:
        detail = problem()
    except Exception as error:  # a plugin may raise anything
        detail = f"{type(error).__name__}: {error}"
    return RuleFinding(rule, not detail, detail)


def _close(rule: str, left: Any, right: Any) -> RuleFinding:
    scale = np.linalg.norm(left, axis=1, keepdims=True)
    worst = float(np.abs((np.asarray(left) - np.asarray(right)) / scale).max())
    return RuleFinding(rule, worst <= TOLERANCE, f"largest difference {worst:.1e}")
