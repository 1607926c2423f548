"""EMMA-X: the phases of its training, each one loop (Algorithm 1 of the paper).

Phase 1a teaches the encoder on bitexts, phase 1b the classifier on the vectors of the frozen encoder, and phase 2
lets both teach each other on sentences without translations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrete.encoding.transformer import move
from xrete.errors import XreteError
from xrete.training.optim import seed_of

from .classifier import GaussianMixture, start_similarities
from .losses import classifier_loss, info_nce, ranking_info_nce
from .monitors import look_for_guard, watch_contrast, watch_em, watch_ladder, watch_warm_up
from .ranks import (
    PARAPHRASE,
    paraphrase_odds,
    rank_weights,
    sums_by_rank,
    temperatures,
    virtual_examples,
    virtual_ranks,
)
from .step import Candidates, Step
from .training import Training


def train(run: Training) -> None:
    """Runs all phases, from where the run stands."""
    model_language(run)
    if run.is_joint:
        warm_up_jointly(run)
    else:
        warm_up_encoder(run)
        warm_up_classifier(run)
    if run.config.em.objective == "contrast":
        continue_contrast(run)
    else:
        check_ranks(run)
        expectation_maximisation(run)


def model_language(run: Training) -> None:
    """Phase 0: masked language modelling on monolingual text, which XLM-R has had and random weights have not."""
    size = run.config.optimisation.batch
    for step in run.phase("mlm", run.config.warmup.mlm_steps, lambda data: data.sentences(size), ["encoder"]):
        run.hide(step)
        run.learn(step)


def warm_up_encoder(run: Training) -> None:
    """Phase 1a: InfoNCE on bitexts (Eq. 2), both directions, against keys of the batch and the queue."""
    _learn_contrast(run, "encoder", run.config.warmup.encoder_steps)


def warm_up_classifier(run: Training) -> None:
    """Phase 1b: the classifier on bitexts, random pairs and mixtures of both (Eq. 3 and 4), the encoder frozen."""
    config = run.config
    if run.begins("classifier"):
        start_classifier(run)
    pairs = config.optimisation.batch // 2
    for step in run.phase(
        "classifier", config.warmup.classifier_steps, lambda data: data.bitexts(pairs), ["classifier"]
    ):
        run.learn(step, classifier=_classify(run, step, run.encode_frozen(step.share)))


def warm_up_jointly(run: Training) -> None:
    """Phase 1 as Algorithm 1 has it: encoder and classifier in one loop, each on its own loss."""
    if run.begins("encoder"):
        start_classifier(run)
    steps, pairs = run.config.warmup.encoder_steps, run.config.optimisation.batch // 2
    for step in run.phase("encoder", steps, lambda data: data.bitexts(pairs), ["encoder", "classifier"]):
        queries = run.encode(step)
        keys = run.encode_keys(step)
        contrast = _contrast(run, step, queries, run.candidates(step, keys))
        run.learn(step, encoder=contrast, classifier=_classify(run, step, run.team.gather(queries.detach())))
        run.queue.push(keys, step.ids)


def continue_contrast(run: Training) -> None:
    """The control of phase 2: phase 1a goes on for as many steps, at phase 2's rates."""
    _learn_contrast(run, "em", run.config.em.steps)


def expectation_maximisation(run: Training) -> None:
    """Phase 2: each module says how pairs of unaligned sentences relate, and learns from what the other said."""
    config, team = run.config, run.team
    number = config.ranks.number
    tau = temperatures(config.loss.low, config.loss.high, number).to(team.device)
    weights = rank_weights(config.loss.rank_weight, number).to(team.device)
    trains = ["encoder", "classifier"] if config.em.train_classifier else ["encoder"]
    size, parallel = config.optimisation.batch, config.em.parallel_fraction
    for step in run.phase("em", config.em.steps, lambda data: data.mixed(size, parallel), trains):
        queries = run.encode(step)
        keys = run.encode_keys(step)
        candidates = run.candidates(step, keys)
        similarities = queries @ candidates.vectors.T

        # E-step: ranks of all pairs, by the classifier (Eq. 9) and by the encoder (Eq. 10).
        scores = run.classifier.cells(queries.detach(), candidates.vectors)
        with torch.no_grad():
            by_classifier = scores.argmax(dim=0)
            by_encoder = run.typical.ranks(similarities)
            known = _known_paraphrases(run, step, candidates)
            compared = candidates.allowed | candidates.own if config.ranks.self_cells else candidates.allowed
            sums, counts = sums_by_rank(similarities, by_classifier, compared, number)
            for_encoder = _ranks_for_encoder(run, scores, by_classifier, known, candidates)

        # M-step: each learns from the other's ranks (Eq. 6 and 7).
        by_classifier_or_known = for_encoder.masked_fill(known, PARAPHRASE)
        by_encoder_or_known = by_encoder.masked_fill(known, PARAPHRASE)
        own = candidates.own if config.loss.self_positive else torch.zeros_like(candidates.own)
        ranks, allowed = by_classifier_or_known.masked_fill(own, PARAPHRASE), candidates.allowed | own
        ranking = ranking_info_nce(similarities, ranks, allowed, tau, config.loss.ranking, config.loss.average)
        taught = classifier_loss(scores, by_encoder_or_known, compared, config.ranks.smoothing)
        run.learn(
            step,
            encoder=(weights * team.mean(*ranking)).sum(),
            classifier=_mean_over_ranks(run, *taught) if config.em.train_classifier else None,
        )
        run.typical.update(team.sum(sums), team.sum(counts))  # Eq. 11
        run.queue.push(keys, step.ids)
        watch_em(run, step, similarities.detach(), by_classifier, by_encoder, candidates, known)
        watch_ladder(run, step, similarities.detach(), ranks, allowed, tau, weights)
        look_for_guard(run, step)


@torch.no_grad()
def start_classifier(run: Training) -> None:
    """Starts the classifier and s_r, before their first step, from labelled pairs of the encoder as it is.

    Raises:
        XreteError: a rank has no pair among them.
    """
    config = run.config.ranks
    number, team = config.number, run.team
    generator = torch.Generator().manual_seed(seed_of(run.config.seed, "start"))
    squares = torch.zeros(number, run.query.encoder.dimension, device=team.device)
    sums, counts = torch.zeros(number, device=team.device), torch.zeros(number, device=team.device)
    pairs = run.config.optimisation.batch // 2
    for share in run.shares(lambda data: data.bitexts(pairs), -(-config.start_pairs // pairs)):
        vectors = run.encode_frozen(share)
        for part in labelled_pairs(run, vectors, share.batch.partners, share.rows, generator):
            for rank in range(number):
                chosen = part.ranks == rank
                squares[rank] += (part.x[chosen] - part.y[chosen]).square().sum(dim=0)
                sums[rank] += torch.cosine_similarity(part.x[chosen], part.y[chosen]).sum()
                counts[rank] += chosen.sum()
        if float(team.sum(counts).sum()) >= config.start_pairs:
            break
    squares, sums, counts = team.sum(squares), team.sum(sums), team.sum(counts)
    if missing := [str(rank) for rank, count in enumerate(counts.tolist(), start=1) if not count]:
        raise XreteError(f"there is no labelled pair of rank {' and '.join(missing)}; raise ranks.start_pairs")
    if config.typical_start == "data":
        run.typical.restart(sums, counts)
    if isinstance(run.classifier, GaussianMixture):
        if config.start == "normal":
            run.classifier.start_from_normal(generator)
        elif config.start == "similarities":
            run.classifier.start_from_similarities(start_similarities(number))
        else:
            run.classifier.start_from_moments(squares, counts, config.shrinkage)


def check_ranks(run: Training) -> None:
    """Refuses to begin phase 2 with typical similarities that do not fall: c_M would mean nothing.

    Where they do not start from data, as in both published readings, it only warns.

    Raises:
        XreteError: they started from data, and do not fall.
    """
    if run.config.em.steps and run.begins("em") and not run.typical.falls:
        values = ", ".join(f"{value:.3f}" for value in run.typical.values.tolist())
        text = (
            f"the typical similarities of the ranks do not fall after phase 1 ({values}): the encoder does not "
            "tell translations from random pairs yet; give phase 1 more steps or bitexts"
        )
        if run.config.ranks.typical_start == "data":
            raise XreteError(text)
        run.watch.warn(text)


def _learn_contrast(run: Training, phase: str, steps: int) -> None:
    """Takes the steps of a phase that teaches the encoder alone, by Eq. 2."""
    pairs = run.config.optimisation.batch // 2
    for step in run.phase(phase, steps, lambda data: data.bitexts(pairs), ["encoder"]):
        queries = run.encode(step)
        keys = run.encode_keys(step)
        run.learn(step, encoder=_contrast(run, step, queries, run.candidates(step, keys)))
        run.queue.push(keys, step.ids)


def _contrast(run: Training, step: Step, queries: Tensor, candidates: Candidates) -> Tensor:
    """This process's part of the mean of Eq. 2."""
    similarities = queries @ candidates.vectors.T
    allowed = candidates.allowed
    if run.config.loss.drop_duplicates:  # nor a candidate that says what the translation says
        ids = torch.cat([step.ids, run.queue.newest()[1]])
        allowed = allowed & (ids != step.ids[step.partners].unsqueeze(1))
    allowed = allowed.scatter(1, step.partners.unsqueeze(1), True)
    losses = info_nce(similarities, step.partners, allowed, run.config.loss.temperature)
    watch_contrast(run, step, similarities.detach(), allowed)
    return losses.mean()


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs whose rank is known: vectors [M, d] and [M, d], and ranks [M]."""

    x: Tensor
    y: Tensor
    ranks: Tensor


def labelled_pairs(
    run: Training, vectors: Tensor, partners: object, rows: slice, generator: torch.Generator
) -> list[LabelledPairs]:
    """Labels pairs of this process's anchors: translations, random pairs, and mixtures of both (Eq. 3).

    Args:
        run: Its settings.
        vectors: Of the global batch, [B, d].
        partners: Each row's translation, [B].
        rows: This process's.
        generator: The same on all processes.
    """
    config = run.config.ranks
    b, number = len(vectors), config.number
    partner = torch.as_tensor(partners)
    first, second = torch.minimum(torch.arange(b), partner), torch.maximum(torch.arange(b), partner)
    # Neither the sentence nor its translation: a draw from B - 2 places, moved past the two.
    other = torch.randint(b - 2, (config.virtual + 1, b), generator=generator)
    other = other + (other >= first)
    other = move((other + (other >= second))[:, rows], vectors.device)
    shares = move(torch.rand(config.virtual, b, generator=generator)[:, rows], vectors.device)
    x, y = vectors[rows], vectors[move(partner[rows], vectors.device)]
    ranks = torch.zeros(len(x), dtype=torch.long, device=vectors.device)
    examples = [LabelledPairs(x, y, ranks + PARAPHRASE)]
    if config.real_negatives:
        examples.append(LabelledPairs(x, vectors[other[0]], ranks + number - 1))
    near = x if config.mixed == "anchor" else y
    mixed = virtual_examples(
        near.expand(config.virtual, -1, -1), vectors[other[1:]], shares, renormalise=config.renormalise
    )
    examples.append(
        LabelledPairs(
            x.repeat(config.virtual, 1), mixed.flatten(0, 1), virtual_ranks(shares, number, config.labels).flatten()
        )
    )
    return examples


def _classify(run: Training, step: Step, vectors: Tensor) -> Tensor:
    """This process's part of Eq. 4: translations, random pairs and mixtures, each averaged, then added up.

    s_r follows the same pairs (Eq. 11).
    """
    number = run.config.ranks.number
    parts = labelled_pairs(run, vectors, step.share.batch.partners, step.share.rows, step.generator)
    sums, counts = torch.zeros_like(run.typical.values), torch.zeros_like(run.typical.values)
    total = torch.zeros((), device=vectors.device)
    guesses = []
    for part in parts:
        scores = run.classifier.pairs(part.x, part.y)
        everywhere = torch.ones_like(part.ranks, dtype=torch.bool)
        terms, _ = classifier_loss(scores, part.ranks, everywhere, run.config.ranks.smoothing)
        total = total + terms.sum() / len(part.ranks)
        cosines = torch.cosine_similarity(part.x, part.y)
        for into, value in zip((sums, counts), sums_by_rank(cosines, part.ranks, everywhere, number), strict=True):
            into += value
        guesses.append((scores.detach().argmax(dim=0), part.ranks))
    run.typical.update(run.team.sum(sums), run.team.sum(counts))
    watch_warm_up(run, step, parts[0].x, parts[0].y, guesses)
    return total


def _known_paraphrases(run: Training, step: Step, candidates: Candidates) -> Tensor:
    """Cells whose rank is given: the partners of bitexts in the batch, and own keys where those count."""
    columns = torch.arange(len(candidates.vectors), device=candidates.vectors.device)
    known = columns == step.partners.unsqueeze(1)
    return known | candidates.own if run.config.ranks.self_cells else known


def _ranks_for_encoder(
    run: Training, scores: Tensor, ranks: Tensor, known: Tensor, candidates: Candidates
) -> Tensor:
    """The classifier's ranks as the encoder takes them: of rank 1, pairs that are not each other's likeliest get 2.

    Random pairs are so many that some are called paraphrases by chance, about one an anchor when a small encoder
    begins phase 2, and an anchor without a true one has nothing that outweighs it.
    """
    if run.config.em.paraphrases == "all":
        return ranks
    odds = paraphrase_odds(scores, known, candidates.allowed)
    of_anchor = odds.amax(dim=1, keepdim=True)
    of_candidate = run.team.gather(odds.amax(dim=0, keepdim=True)).amax(dim=0)
    alone = (ranks == PARAPHRASE) & ((odds < of_anchor) | (odds < of_candidate))
    return ranks.masked_fill(alone, PARAPHRASE + 1)


def _mean_over_ranks(run: Training, sums: Tensor, counts: Tensor) -> Tensor:
    """This process's part of the mean of Eq. 6 over all pairs, or over ranks of each rank's mean."""
    if not run.config.ranks.balance:
        return run.team.mean(sums.sum(), counts.sum())
    present = (run.team.sum(counts) > 0).sum().clamp(min=1)
    return run.team.mean(sums, counts).sum() / present
