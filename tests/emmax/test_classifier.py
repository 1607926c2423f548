import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Independent, Normal

from xrete.models.emmax.classifier import FullyConnected, GaussianMixture, start_similarities
from xrete.models.emmax.ranks import virtual_examples, virtual_ranks


def unit(n: int, d: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def trained_like(number: int, d: int, seed: int = 0) -> GaussianMixture:
    """A mixture with widths far apart, means off zero and an uneven prior."""
    random = torch.Generator().manual_seed(seed)
    mixture = GaussianMixture(number, d)
    mixture.start_from_similarities(start_similarities(number))
    with torch.no_grad():
        mixture.log_variance += 0.3 * torch.randn(number, d, generator=random)
        mixture.mean += 0.01 * torch.randn(number, d, generator=random)
        mixture.prior += torch.randn(number, generator=random)
    return mixture


def reference(mixture: GaussianMixture, delta: Tensor) -> Tensor:
    """Log posteriors by torch.distributions in float64; delta [..., d], ranks first."""
    scores = []
    for rank in range(mixture.number):
        scale = (0.5 * mixture.log_variance[rank].double()).exp()
        gaussian = Independent(Normal(mixture.mean[rank].double(), scale), 1)
        scores.append(torch.log_softmax(mixture.prior.double(), 0)[rank] + gaussian.log_prob(delta))
    return torch.log_softmax(torch.stack(scores), dim=0)


def test_the_posterior_of_the_worked_example() -> None:
    mixture = GaussianMixture(2, 2)
    with torch.no_grad():
        mixture.mean.copy_(torch.tensor([[0.0, 0.0], [0.1, 0.2]]))
        mixture.log_variance.copy_(torch.tensor([[0.04, 0.09], [0.25, 0.16]]).log())
        mixture.prior.copy_(torch.tensor([0.25, 0.75]).log())
    x, y = torch.tensor([[0.5, -0.1]]), torch.tensor([[0.2, 0.3]])
    expected = pytest.approx([0.33103041, 0.66896959], abs=1e-6)
    assert torch.softmax(mixture.pairs(x, y), 0).flatten().tolist() == expected
    assert torch.softmax(mixture.cells(x, y), 0).flatten().tolist() == expected


@pytest.mark.parametrize("number", [2, 4, 8])
def test_matrix_form_equals_the_densities_of_torch(number: int) -> None:
    d = 1024
    mixture = trained_like(number, d)
    x, y = unit(6, d, 1), unit(9, d, 2)
    y[0] = torch.nn.functional.normalize(x[0] + 0.01 * y[0], dim=0)  # a near duplicate
    expected = reference(mixture, x.double()[:, None] - y.double()[None])
    found = torch.log_softmax(mixture.cells(x, y), 0)
    close = expected > -20  # where a posterior is not 0 in float32
    assert (found - expected)[close].abs().max() < 2e-2
    assert torch.equal(found.argmax(0), expected.argmax(0))
    torch.testing.assert_close(torch.softmax(found, 0).sum(0), torch.ones(6, 9))
    rows = torch.log_softmax(mixture.pairs(x, y[:6]), 0)
    expected = reference(mixture, x.double() - y[:6].double())
    assert (rows - expected)[expected > -20].abs().max() < 2e-2


def test_no_rank_flips_on_vectors_as_training_leaves_them() -> None:
    """16,384 pairs in a narrow cone, from near duplicates to strangers, and ranks of widths 1 to 22."""
    d, n = 384, 128
    shared = math.sqrt(0.8) * unit(1, d, 0)
    x, y = (torch.nn.functional.normalize(shared + math.sqrt(0.2) * unit(n, d, seed), dim=1) for seed in (1, 2))
    steps = torch.logspace(-2, 0, n).unsqueeze(1)
    y = torch.nn.functional.normalize((1 - steps) * x + steps * y, dim=1)
    mixture = trained_like(4, d)
    widths = torch.tensor([1.0, 4.0, 14.0, 22.0]) * math.sqrt(0.4 / d) / 22
    with torch.no_grad():
        mixture.log_variance += (2 * widths.log()).unsqueeze(1) - mixture.log_variance.mean(dim=1, keepdim=True)
        mixture.mean /= 10
    expected = reference(mixture, x.double()[:, None] - y.double()[None])
    found = torch.log_softmax(mixture.cells(x, y), 0)
    assert len(expected.argmax(0).unique()) == 4
    assert torch.equal(found.argmax(0), expected.argmax(0))
    assert (found - expected)[expected > math.log(2e-9)].abs().max() < 5e-3


def test_gradients_equal_those_of_the_plain_density() -> None:
    mixture = trained_like(3, 16)
    x, y = unit(4, 16, 1), unit(5, 16, 2)
    weights = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(3))
    (torch.log_softmax(mixture.cells(x, y), 0) * weights).sum().backward()
    found = [p.grad.clone() for p in mixture.parameters() if p.grad is not None]
    mixture.zero_grad()
    (reference(mixture, x.double()[:, None] - y.double()[None]) * weights).sum().backward()
    for ours, parameter in zip(found, mixture.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(ours, parameter.grad, rtol=2e-3, atol=1e-4)


def test_autocast_does_not_reach_the_classifier() -> None:
    mixture = trained_like(4, 64)
    x, y = unit(3, 64, 1), unit(4, 64, 2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = mixture.cells(x, y)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, mixture.cells(x, y))


def test_zero_means_make_a_rank_the_same_in_both_orders() -> None:
    mixture = GaussianMixture(4, 32, zero_means=True)
    mixture.start_from_similarities(start_similarities(4))
    x, y = unit(50, 32, 1), unit(50, 32, 2)
    assert torch.equal(mixture.pairs(x, y).argmax(0), mixture.pairs(y, x).argmax(0))
    assert not mixture.mean.requires_grad


def test_similarities_of_the_start_put_pairs_of_those_cosines_where_they_belong() -> None:
    d = 1024
    mixture = GaussianMixture(4, d)
    mixture.start_from_similarities([0.9, 0.6, 0.35, 0.1])
    for rank, cosine in enumerate((0.9, 0.6, 0.35, 0.1)):
        x, noise = unit(200, d, rank), unit(200, d, 100 + rank)
        noise = torch.nn.functional.normalize(noise - (noise * x).sum(1, keepdim=True) * x, dim=1)
        y = cosine * x + math.sqrt(1 - cosine**2) * noise
        assert (mixture.pairs(x, y).argmax(0) == rank).all()


def bitexts(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Vectors of sentences and of translations whose cosine is about .9; random ones have about .05."""
    shared = unit(1, d, 0) * math.sqrt(0.05)
    x = shared + unit(n, d, seed) * math.sqrt(0.95)
    x = torch.nn.functional.normalize(x, dim=1)
    y = torch.nn.functional.normalize(x + unit(n, d, seed + 1) * 0.48, dim=1)
    return x, y


@pytest.mark.parametrize("labels", ["ceil", "quantile"])
@pytest.mark.parametrize("renormalise", [True, False])
def test_moments_alone_tell_virtual_ranks_apart(labels: str, renormalise: bool) -> None:
    d, n, number = 1024, 2000, 4
    random = torch.Generator().manual_seed(0)

    def labelled(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        x, y = bitexts(n, d, seed)
        other = y.roll(1, 0)
        shares = torch.rand(n, generator=random)
        mixed = virtual_examples(y, other, shares, renormalise=renormalise)
        ranks = virtual_ranks(shares, number, labels)
        zeros = torch.zeros(n, dtype=torch.long)
        return torch.cat([x, x, x]), torch.cat([y, other, mixed]), torch.cat([zeros, zeros + number - 1, ranks])

    x, y, ranks = labelled(1)
    squares = torch.stack([(x - y)[ranks == rank].square().sum(0) for rank in range(number)])
    mixture = GaussianMixture(number, d)
    mixture.start_from_moments(squares, torch.bincount(ranks).float(), 0.1)
    x, y, ranks = labelled(3)
    said = mixture.pairs(x, y).argmax(0)
    # A virtual example with a small share of the other sentence is as near as a translation, whatever its label.
    assert (said == ranks).float().mean() > 0.9
    assert (said == ranks)[: 2 * n].float().mean() > 0.99, "translations and random pairs"


def test_the_official_start_puts_everything_into_one_rank() -> None:
    mixture = GaussianMixture(4, 256)
    mixture.start_from_normal(torch.Generator().manual_seed(0))
    x, y = bitexts(64, 256, 1)
    assert len(mixture.cells(x, y).argmax(0).unique()) == 1


@given(st.integers(0, 100), st.sampled_from([0, 8]))
@settings(deadline=None, max_examples=10)
def test_the_network_scores_cells_as_it_scores_pairs(seed: int, hidden: int) -> None:
    torch.manual_seed(seed)
    network = FullyConnected(3, 6, hidden)
    x, y = unit(4, 6, seed), unit(5, 6, seed + 1)
    cells = network.cells(x, y)
    for i in range(4):
        torch.testing.assert_close(cells[:, i], network.pairs(x[i].expand(5, -1), y))


def test_start_similarities_fall_for_every_number_of_ranks() -> None:
    assert start_similarities(4) == pytest.approx([0.9, 0.6, 0.35, 0.1])
    for number in (2, 3, 8):
        values = start_similarities(number)
        assert values == sorted(values, reverse=True)
        assert (values[0], values[-1]) == pytest.approx((0.9, 0.1))
