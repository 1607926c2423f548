import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xrete.models.emmax.ranks import (
    TypicalSimilarity,
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
