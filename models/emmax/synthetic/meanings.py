"""Meanings, how often each is meant, and the semantic rank of two of them."""

from __future__ import annotations

import itertools
import math
from functools import reduce
from typing import Any

from xrete.errors import UsageError
from xrete.lazy import NDArray, np

from .config import WorldConfig


class Meanings:
    """Every meaning of a world with its probability.

    A meaning is a topic and a filler for each role, as concept numbers. Topics follow Zipf's law, and so do the
    events of a topic. An event has a typical filler for each role, from which a sentence departs at random. So
    sentences of one event share most of their concepts, those of one topic some, and others none.

    Attributes:
        config: The world's settings.
        probabilities: Of the meanings of ordinary text, [topics, fillers, fillers, ...]; 0 for held-out ones.
        held_out: Of the meanings of held-out sentences, of the same shape; 0 for the others.
    """

    def __init__(self, config: WorldConfig) -> None:
        """Draws which fillers are typical and which meanings are held out.

        Raises:
            UsageError: no meaning is held out, or every one.
        """
        self.config = config
        random = np.random.default_rng([config.seed, 0])
        shape = (config.topics, *[config.fillers] * config.roles)
        natural = np.zeros(shape)
        events = zipf(config.events, config.zipf)
        spread = config.variation / config.fillers
        for topic, share in enumerate(zipf(config.topics, config.zipf)):
            typical = [random.permutation(config.events) % config.fillers for _ in range(config.roles)]
            for event, weight in enumerate(events):
                roles = np.full((config.roles, config.fillers), spread)
                for role, fillers in enumerate(typical):
                    roles[role, fillers[event]] += 1 - config.variation
                natural[topic] += share * weight * reduce(np.multiply.outer, roles)
        chosen = random.random(shape) < config.held_out
        held_out, others = np.where(chosen, natural, 0.0), np.where(chosen, 0.0, natural)
        if not (held_out.any() and others.any()):
            held, count = np.count_nonzero(held_out), np.count_nonzero(natural)
            raise UsageError(f"{held} of {count} meanings are held out; change held_out, or raise fillers")
        self.probabilities, self.held_out = _normal(others), _normal(held_out)

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Draws meanings of ordinary text, with replacement; [count, components]."""
        edges = np.cumsum(self.probabilities)
        return self.concepts(np.searchsorted(edges, edges[-1] * random.random(count), side="right"))

    def draw_held_out(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Draws held-out meanings, each at most once; [count, components].

        Raises:
            UsageError: there are not so many.
        """
        flat = self.held_out.ravel()
        known = int(np.count_nonzero(flat))
        if count > known:
            raise UsageError(
                f"this world has {known:,} held-out meanings, not {count:,}; ask for fewer held-out sentences, or "
                "raise held_out, fillers or topics"
            )
        return self.concepts(random.choice(flat.size, count, replace=False, p=flat))

    def component(self, concept: int) -> int:
        """Returns which component of a meaning a concept can be: 0 for topics, then the roles in order."""
        config = self.config
        return 0 if concept < config.topics else 1 + (concept - config.topics) // (config.topics * config.fillers)

    def rank_shares(self, ranks: int) -> NDArray[np.float64]:
        """Returns the exact share of each rank among random pairs of ordinary sentences, [ranks].

        The share of pairs that agree on the topic and on a set of roles is the squared length of the marginal over
        these. Summed over the sets of k roles, these are the binomial moments of how many roles are equal, from
        which inclusion and exclusion gives the distribution of that number.
        """
        count = self.config.roles
        moments = [0.0] * (count + 1)
        for kept in itertools.product([False, True], repeat=count):
            others = tuple(1 + role for role, wanted in enumerate(kept) if not wanted)
            moments[sum(kept)] += float(np.square(self.probabilities.sum(axis=others)).sum())
        equal = range(count + 1)
        distribution = [
            sum((-1) ** (k - number) * math.comb(k, number) * moments[k] for k in range(number, count + 1))
            for number in equal
        ]
        shares = np.zeros(ranks)
        np.add.at(shares, _rank(count - np.array(equal), ranks, 1 + count), distribution)
        shares[-1] += 1 - moments[0]  # the topic differs
        return shares

    def concepts(self, flat: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turns places in the table [n] into numbers of concepts [n, 1 + roles].

        Topics are numbered first, then the fillers, role by role and topic by topic.
        """
        topic, *fillers = np.unravel_index(flat, self.probabilities.shape)
        topics = self.config.topics
        roles = [topics + (role * topics + topic) * self.config.fillers + x for role, x in enumerate(fillers)]
        return np.stack([topic, *roles], axis=1)


def true_ranks(a: NDArray[np.int64], b: NDArray[np.int64], ranks: int) -> NDArray[np.int64]:
    """Returns the semantic rank of meanings: ceil((N - 1) lambda), lambda the share of components that differ.

    This is the label of a virtual example (below Eq. 3) with the rank counted from 0: 0 is the same meaning, N - 1
    an unrelated one. A matrix is `true_ranks(a[:, None], b, ranks)`.

    Args:
        a: Meanings, [..., components].
        b: Meanings, [..., components]; leading axes broadcast.
        ranks: N, from 2 to one more than there are components: beyond, some ranks would have no pairs.

    Raises:
        UsageError: `ranks` is out of bounds.
    """
    return _rank(np.count_nonzero(a != b, axis=-1), ranks, a.shape[-1])


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Returns the probabilities [count] of things of which the k-th is drawn in proportion to k^-exponent."""
    return _normal(np.arange(1, count + 1) ** -exponent)


def _rank(different: NDArray[Any], ranks: int, components: int) -> NDArray[np.int64]:
    if not 2 <= ranks <= components + 1:
        raise UsageError(f"sentences of {components} components have 2 to {components + 1} ranks, not {ranks}")
    return np.asarray(-(-(ranks - 1) * different // components))


def _normal(weights: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(weights / weights.sum())
