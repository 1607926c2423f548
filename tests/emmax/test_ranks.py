import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xrete.models.emmax.losses import ranking_info_nce
from xrete.models.emmax.ranks import (
    TypicalSimilarity,
    ladder,
    sums_by_rank,
    temperatures,
    virtual_examples,
    virtual_ranks,
)


def test_virtual_ranks_are_the_papers() -> None:
    shares = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    assert [rank + 1 for rank in virtual_ranks(shares, 4, "ceil").tolist()] == [1, 2, 3, 4, 4]
    assert virtual_ranks(torch.tensor([0.0, 0.24, 0.25, 0.99, 1.0]), 4, "quantile").tolist() == [0, 0, 1, 3, 3]


def test_virtual_examples_lie_between_and_on_the_sphere() -> None:
    y, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    share = torch.tensor([0.25])
    assert virtual_examples(y, other, share, renormalise=False).tolist() == [[0.75, 0.25]]
    on_sphere = virtual_examples(y, other, share, renormalise=True)
    assert on_sphere.norm(dim=1).item() == pytest.approx(1.0)
    assert (on_sphere[0, 0] / on_sphere[0, 1]).item() == pytest.approx(3.0)


def test_temperatures_rise_with_the_rank_and_two_ranks_have_one() -> None:
    assert temperatures(0.05, 0.1, 4).tolist() == pytest.approx([0.05, 0.075, 0.1])
    assert temperatures(0.05, 0.1, 2).tolist() == pytest.approx([0.05])


@pytest.mark.parametrize("start", ["linear", "data"])
def test_a_cosine_of_one_is_a_paraphrase_and_its_opposite_irrelevant(start: str) -> None:
    typical = TypicalSimilarity(4, start, 0.999)
    if start == "data":
        typical.update(torch.tensor([0.9, 0.6, 0.3, 0.1]), torch.ones(4))
    assert typical.falls
    assert typical.ranks(torch.tensor([[1.0, -1.0]])).tolist() == [[0, 3]]


def test_a_tie_prefers_the_paraphrase() -> None:
    typical = TypicalSimilarity(2, "data", 0.9)
    typical.update(torch.tensor([0.75, 0.25]), torch.ones(2))
    assert typical.ranks(torch.tensor([0.5])).tolist() == [0]
    assert TypicalSimilarity(4, "zeros", 0.9).ranks(torch.tensor([0.7])).tolist() == [0]


def test_typical_similarities_move_once_a_step_and_empty_ranks_stay() -> None:
    typical = TypicalSimilarity(2, "linear", 0.999)
    typical.values.copy_(torch.tensor([0.8, 0.2]))
    typical.update(torch.tensor([1.2, 0.0]), torch.tensor([2.0, 0.0]))  # mean .6 of rank 1, nothing of rank 2
    assert typical.values.tolist() == pytest.approx([0.7998, 0.2])


def test_the_first_mean_is_taken_whole_and_a_restart_forgets() -> None:
    typical = TypicalSimilarity(2, "data", 0.9)
    typical.update(torch.tensor([1.8, 0.0]), torch.tensor([2.0, 0.0]))
    assert typical.values.tolist() == pytest.approx([0.9, 0.0])
    typical.update(torch.tensor([0.8, 0.1]), torch.ones(2))
    assert typical.values.tolist() == pytest.approx([0.89, 0.1])
    typical.restart(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))
    assert typical.values.tolist() == pytest.approx([0.5, 0.1])


@given(st.integers(0, 1000))
def test_sums_by_rank_are_those_of_a_plain_loop(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    similarities = torch.rand(3, 5, generator=random)
    ranks = torch.randint(4, (3, 5), generator=random)
    allowed = torch.rand(3, 5, generator=random) < 0.7
    sums, counts = sums_by_rank(similarities, ranks, allowed, 4)
    for rank in range(4):
        cells = [
            similarities[i, k].item() for i in range(3) for k in range(5) if allowed[i, k] and ranks[i, k] == rank
        ]
        assert sums[rank].item() == pytest.approx(sum(cells), abs=1e-6)
        assert counts[rank].item() == len(cells)


@given(st.integers(0, 1000))
def test_the_ladder_is_that_of_a_plain_loop(seed: int) -> None:
    """Q_r and the cosines at rest, in float64; the term's gradient on its own candidates is (1 - Q_r) / tau_r."""
    random = torch.Generator().manual_seed(seed)
    s = (2 * torch.rand(5, 9, generator=random, dtype=torch.float64) - 1).requires_grad_()
    ranks = torch.randint(4, (5, 9), generator=random)
    allowed = torch.rand(5, 9, generator=random) < 0.8
    tau = temperatures(0.2, 0.5, 4).double()
    asked = ladder(s.detach(), ranks, allowed, tau)
    losses, _ = ranking_info_nce(s, ranks, allowed, tau)
    for r in range(3):
        (gradient,) = torch.autograd.grad(losses[r], s, retain_graph=True)
        shares = cosines = steps = 0.0
        anchors = 0
        for i in range(5):
            near = [k for k in range(9) if allowed[i, k] and ranks[i, k] == r]
            far = [k for k in range(9) if allowed[i, k] and ranks[i, k] > r]
            if near and far:
                above = sum(math.exp(float(s.detach()[i, k]) / tau[r]) for k in near)
                below = sum(math.exp(float(s.detach()[i, k]) / tau[r]) for k in far)
                share = above / (above + below)
                assert float(gradient[i, near].sum()) == pytest.approx(-(1 - share) / float(tau[r]))
                anchors, shares = anchors + 1, shares + share
                cosines += float(tau[r]) * (math.log(below / len(near)) + math.log(9))
                steps += float(tau[r]) * (math.log(len(far) / len(near)) + math.log(9))
        assert asked.anchors[r] == anchors
        assert float(asked.shares[r]) == pytest.approx(shares)
        assert float(asked.cosines[r]) == pytest.approx(cosines)
        assert float(asked.steps[r]) == pytest.approx(steps)


def test_a_term_is_at_rest_at_the_cosine_that_it_asks_for() -> None:
    s = torch.linspace(-0.2, 0.3, 40, dtype=torch.float64).unsqueeze(0)
    ranks, allowed = torch.full((1, 40), 3), torch.ones(1, 40, dtype=torch.bool)
    ranks[0, :5] = 2
    tau = temperatures(0.05, 0.1, 4).double()
    asked = float(ladder(s, ranks, allowed, tau).cosines[2])
    s[0, :5] = asked
    at_rest = ladder(s, ranks, allowed, tau)
    assert float(at_rest.shares[2]) == pytest.approx(0.9)
    assert at_rest.anchors.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("tau", "cosine"), [(0.1, 0.81), (0.05, 0.52)])
def test_random_pairs_of_real_text_are_driven_above_translations(tau: float, cosine: float) -> None:
    """12 candidates of rank 3 among 1,500, the others of mean 0.05 and deviation 0.11, as measured on real text."""
    places = (torch.arange(1488, dtype=torch.float64) + 0.5) / 1488
    others = 0.05 + 0.11 * torch.distributions.Normal(0.0, 1.0).icdf(places)
    s = torch.cat([torch.full((12,), 0.4, dtype=torch.float64), others]).unsqueeze(0)
    ranks = torch.tensor([[2] * 12 + [3] * 1488])
    asked = ladder(s, ranks, torch.ones_like(ranks, dtype=torch.bool), torch.full((3,), tau, dtype=torch.float64))
    assert float(asked.cosines[2]) == pytest.approx(cosine, abs=0.01)
    assert float(asked.steps[2]) == pytest.approx(tau * (math.log(1488 / 12) + math.log(9)))
