import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xrete.models.emmax.config import read
from xrete.models.emmax.losses import classifier_loss, info_nce, ranking_info_nce
from xrete.models.emmax.ranks import rank_weights, temperatures

S = torch.tensor([[0.9, 0.5, 0.45, 0.2, -0.1]])
RANKS = torch.tensor([[0, 1, 1, 2, 3]])
ALL = torch.ones(1, 5, dtype=torch.bool)


def loss(sums: Tensor, counts: Tensor) -> Tensor:
    return (sums / counts.clamp(min=1)).sum()


def plain_ranking(
    s: Tensor, ranks: Tensor, allowed: Tensor, tau: Tensor, weight: float = 1.0, average: str = "found"
) -> Tensor:
    """Eq. 20, one exponential at a time."""
    total = s.new_zeros(())
    for r in range(len(tau)):
        terms = []
        for i in range(len(s)):
            positives = [k for k in range(s.shape[1]) if allowed[i, k] and ranks[i, k] == r]
            among = [k for k in range(s.shape[1]) if allowed[i, k] and ranks[i, k] >= r]
            if positives:
                above = sum((torch.exp(s[i, k] / tau[r]) for k in positives), s.new_zeros(()))
                below = sum((torch.exp(s[i, k] / tau[r]) for k in among), s.new_zeros(()))
                terms.append(-torch.log(above / below))
        if terms:
            anchors = len(s) if average == "all" else len(terms)
            total = total + (weight if r else 1.0) * torch.stack(terms).sum() / anchors
    return total


def test_the_worked_example_of_ranking_info_nce() -> None:
    sums, counts = ranking_info_nce(S, RANKS, ALL, temperatures(0.05, 0.1, 4))
    assert sums.tolist() == pytest.approx([0.00045960, 0.01224851, 0.04858735], abs=1e-7)
    assert counts.tolist() == [1, 1, 1]
    assert sums.sum().item() == pytest.approx(0.06129547, abs=1e-7)


def test_the_official_form_of_it() -> None:
    similarities = torch.cat([S, torch.tensor([[1.0]])], dim=1)  # the anchor's own key, masked
    ranks = torch.cat([RANKS, torch.tensor([[0]])], dim=1)
    allowed = torch.tensor([[True] * 5 + [False]])
    official: tuple[Literal["official"], Literal["all"]] = ("official", "all")
    sums, _ = ranking_info_nce(similarities, ranks, allowed, temperatures(0.05, 0.1, 4), *official)
    assert sums.tolist() == pytest.approx([0.00046443, 0.70570342, 0.05029005], abs=2e-6)
    nobody = torch.full_like(ranks, 3)
    sums, counts = ranking_info_nce(similarities, nobody, allowed, temperatures(0.05, 0.1, 4), *official)
    assert sums.tolist() == pytest.approx([-math.log(1e-7)] * 3, rel=1e-4)
    assert counts.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("tau", "expected"), [(0.05, 4.62304e-5), (0.04, 3.75176e-6)])
def test_two_ranks_and_one_positive_are_info_nce(tau: float, expected: float) -> None:
    s = torch.tensor([[0.8, 0.3, 0.1]], dtype=torch.float64)
    allowed = torch.ones(1, 3, dtype=torch.bool)
    sums, _ = ranking_info_nce(s, torch.tensor([[0, 1, 1]]), allowed, torch.tensor([tau], dtype=torch.float64))
    assert sums.item() == pytest.approx(expected, rel=1e-5)
    assert info_nce(s, torch.tensor([0]), allowed, tau).item() == pytest.approx(expected, rel=1e-5)


@given(
    st.integers(0, 10_000),
    st.integers(2, 5),
    st.sampled_from([0.0, 0.0625, 1.0]),
    st.sampled_from(["found", "all"]),
)
@settings(deadline=None, max_examples=25)
def test_both_losses_have_the_gradient_of_a_plain_loop(
    seed: int, number: int, weight: float, average: Literal["found", "all"]
) -> None:
    random = torch.Generator().manual_seed(seed)
    s = (2 * torch.rand(4, 6, generator=random, dtype=torch.float64) - 1).requires_grad_()
    ranks = torch.randint(number, (4, 6), generator=random)
    allowed = torch.rand(4, 6, generator=random) < 0.8
    tau = temperatures(0.3, 0.6, number).double()
    sums, counts = ranking_info_nce(s, ranks, allowed, tau, average=average)
    ours = (rank_weights(weight, number) * sums / counts.clamp(min=1)).sum()
    plain = plain_ranking(s, ranks, allowed, tau, weight, average)
    torch.testing.assert_close(ours, plain)
    if plain.requires_grad:
        torch.testing.assert_close(
            torch.autograd.grad(ours, s)[0], torch.autograd.grad(plain, s)[0], rtol=1e-9, atol=1e-12
        )

    positives = torch.randint(6, (4,), generator=random)
    allowed = allowed.scatter(1, positives.unsqueeze(1), True)
    ours = info_nce(s, positives, allowed, 0.3).mean()
    terms = [
        -torch.log(torch.exp(s[i, positives[i]] / 0.3) / torch.exp(s[i][allowed[i]] / 0.3).sum()) for i in range(4)
    ]
    plain = torch.stack(terms).mean()
    torch.testing.assert_close(torch.autograd.grad(ours, s)[0], torch.autograd.grad(plain, s)[0])
    assert torch.autograd.gradcheck(
        lambda x: loss(*ranking_info_nce(x, ranks, allowed, tau)), (s.detach().clone().requires_grad_(),)
    )


def test_an_empty_rank_and_an_empty_batch_have_no_gradient() -> None:
    tau = temperatures(0.05, 0.1, 4)
    for ranks, allowed in ((torch.full_like(RANKS, 3), ALL), (RANKS, ~ALL)):
        s = S.clone().requires_grad_()
        total = loss(*ranking_info_nce(s, ranks, allowed, tau))
        total.backward()
        assert total.item() == 0.0
        assert s.grad is not None
        assert s.grad.tolist() == [[0.0] * 5]


def test_a_forbidden_cell_is_neither_positive_nor_negative() -> None:
    allowed = ALL.clone()
    allowed[0, 0] = False
    s = S.clone().requires_grad_()
    loss(*ranking_info_nce(s, RANKS, allowed, temperatures(0.05, 0.1, 4))).backward()
    assert s.grad is not None
    assert s.grad[0, 0] == 0.0
    assert (s.grad[0, 1:3] < 0).any()


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.3]))
@settings(deadline=None, max_examples=20)
def test_the_classifiers_loss_is_torchs_cross_entropy(seed: int, smoothing: float) -> None:
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(4, 3, 5, generator=random)
    ranks = torch.randint(4, (3, 5), generator=random)
    allowed = torch.rand(3, 5, generator=random) < 0.7
    sums, counts = classifier_loss(scores, ranks, allowed, smoothing)
    expected = torch.nn.functional.cross_entropy(
        scores.flatten(1).T, ranks.flatten(), label_smoothing=smoothing, reduction="none"
    ).view(3, 5)
    for rank in range(4):
        cells = allowed & (ranks == rank)
        assert sums[rank].item() == pytest.approx(expected[cells].sum().item(), abs=1e-4)
        assert counts[rank].item() == cells.sum().item()


def test_the_official_preset_smooths_as_the_official_code() -> None:
    """Its targets are 0.7 for the right rank and 0.1 for each other: the gradient is posterior less target."""
    scores = torch.zeros(4, 1, requires_grad=True)
    smoothing = read("official", None, []).ranks.smoothing
    sums, _ = classifier_loss(scores, torch.tensor([0]), torch.tensor([True]), smoothing)
    (gradient,) = torch.autograd.grad(sums.sum(), scores)
    assert (0.25 - gradient).flatten().tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1])


def test_full_weight_is_no_weight_to_the_last_bit() -> None:
    """Of what the loop multiplies the terms with: runs with the printed loss are what they were."""
    s = torch.randn(8, 20, generator=torch.Generator().manual_seed(3)).requires_grad_()
    ranks = torch.randint(4, (8, 20), generator=torch.Generator().manual_seed(4))
    sums, counts = ranking_info_nce(s, ranks, torch.ones_like(ranks, dtype=torch.bool), temperatures(0.05, 0.1, 4))
    plain, weighted = (sums / counts).sum(), (rank_weights(1.0, 4) * (sums / counts)).sum()
    assert plain.item() == weighted.item()
    one, other = (torch.autograd.grad(value, s, retain_graph=True)[0] for value in (plain, weighted))
    assert torch.equal(one, other)
    assert rank_weights(0.05, 4).tolist() == pytest.approx([1.0, 0.05, 0.05])
    assert rank_weights(0.05, 2).tolist() == [1.0]
