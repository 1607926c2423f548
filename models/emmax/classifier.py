"""The semantic classifier G: which rank two sentences have, from their vectors.

Both classifiers score pairs up to a term that is common to all ranks, ranks first: `cells` every anchor with every
candidate, `pairs` row with row. A log softmax over the first axis makes log posteriors of them (Eq. 5), and the
argmax is c_G (Eq. 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_VARIANCES = (-14.0, 4.0)
"""Where log variances are kept: a unit vector's differences have one of about -6 in 1,024 dimensions."""


class Classifier(Protocol):
    """What the phases ask of G."""

    number: int

    def cells(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores all pairs of x [B, d] and y [C, d]; float32 [N, B, C]."""
        ...

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores the pairs of x [M, d] and y [M, d], row by row; float32 [N, M]."""
        ...


class GaussianMixture(nn.Module):
    """A diagonal Gaussian over the difference of two unit vectors for each rank, and a prior (Eq. 5, 19).

    The printed equations count the prior twice and have the wrong sign in Eq. 21; this is the density they mean.

    Attributes:
        prior: Logits of pi, [N].
        mean: mu, [N, d].
        log_variance: 2 log sigma, [N, d].
    """

    def __init__(self, number: int, dimension: int, *, zero_means: bool = False) -> None:
        """Starts all ranks alike; see `start_from_moments` and its neighbours.

        Args:
            number: N.
            dimension: d.
            zero_means: Keep the means at 0.
        """
        super().__init__()
        self.number = number
        self.prior = nn.Parameter(torch.zeros(number))
        self.mean = nn.Parameter(torch.zeros(number, dimension), requires_grad=not zero_means)
        self.log_variance = nn.Parameter(torch.full((number, dimension), -math.log(dimension)))

    def cells(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores all pairs: log pi_r + log N_r(x_i - y_k), less that of the widest rank; float32 [N, B, C].

        Only products of matrices, nothing of size B x C x N x d: with w = 1 / sigma^2 and differences to the widest
        rank written D, a score is

            const_r + alpha_r(x) + beta_r(y) + x . (Dw_r * y)
            alpha_r(x) = -x^2 . Dw_r / 2 + x . D(w mu)_r      beta_r(y) = -y^2 . Dw_r / 2 - y . D(w mu)_r

        The candidates' mean is taken off both sides, which changes no difference but makes the terms that cancel
        small. Never in TF32 or bfloat16, whose rounding is several nats.
        """
        with torch.autocast(x.device.type, enabled=False):
            centre = y.detach().mean(dim=0)
            x, y = x.float() - centre, y.float() - centre
            const, precision, weighted = self._to_widest()
            alpha = const.unsqueeze(1) - 0.5 * precision @ (x * x).T + weighted @ x.T
            beta = -0.5 * precision @ (y * y).T - weighted @ y.T
            scaled = x * precision.unsqueeze(1)
            scores = torch.baddbmm(alpha.unsqueeze(2), scaled, y.T.expand(self.number, -1, -1))
            return scores + beta.unsqueeze(1)

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores the differences row by row, as `cells` does; float32 [N, M]."""
        with torch.autocast(x.device.type, enabled=False):
            delta = x.float() - y.float()
            const, precision, weighted = self._to_widest()
            return const.unsqueeze(1) - 0.5 * precision @ (delta * delta).T + weighted @ delta.T

    def _to_widest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Constants [N], precisions [N, d] and precision-weighted means [N, d], each less the widest rank's.

        A softmax over ranks does not see what is taken from all of them; with the widest Gaussian, whose precision
        is the least, rounding is, too.
        """
        log_variance = self.log_variance.clamp(*LOG_VARIANCES)
        precision = torch.exp(-log_variance)
        weighted = precision * self.mean
        const = torch.log_softmax(self.prior, 0) - 0.5 * (log_variance.sum(1) + (weighted * self.mean).sum(1))
        widest = log_variance.detach().sum(1).argmax().unsqueeze(0)  # kept on the device, nothing waits for it
        const, precision, weighted = (
            value - value.index_select(0, widest) for value in (const, precision, weighted)
        )
        return const, precision, weighted

    @torch.no_grad()
    def start_from_moments(self, squares: Tensor, counts: Tensor, shrinkage: float) -> None:
        """Starts each rank at the moments of its labelled differences; their mean is 0 where both orders are seen.

        Args:
            squares: Sum of delta_j^2 over the pairs of each rank, [N, d].
            counts: Number of pairs of each rank, all above 0, [N].
            shrinkage: How far each rank's variances are drawn towards their mean over j.
        """
        variance = squares / counts.unsqueeze(1)
        variance = torch.lerp(variance, variance.mean(dim=1, keepdim=True), shrinkage)
        self._start(torch.log(variance))

    @torch.no_grad()
    def start_from_similarities(self, similarities: Sequence[float]) -> None:
        """Starts each rank as differences of unit vectors with its similarity s: variance 2 (1 - s) / d."""
        d = self.mean.shape[1]
        variance = 2.0 * (1.0 - self.mean.new_tensor(similarities)) / d
        self._start(torch.log(variance).unsqueeze(1).expand(-1, d))

    @torch.no_grad()
    def start_from_normal(self, generator: torch.Generator) -> None:
        """Starts as the official code, from the standard normal, where one rank takes all pairs."""
        self.prior.zero_()
        for values in (self.mean, self.log_variance):
            values.copy_(torch.randn(values.shape, generator=generator))

    def _start(self, log_variance: Tensor) -> None:
        self.prior.zero_()
        self.mean.zero_()
        self.log_variance.copy_(log_variance.clamp(*LOG_VARIANCES))


class FullyConnected(nn.Module):
    """The ablation "FCN" (Table 6): a feed-forward network on both vectors, one after the other."""

    def __init__(self, number: int, dimension: int, hidden: int) -> None:
        """Draws its weights.

        Args:
            number: N.
            dimension: d.
            hidden: Hidden units; 0 is one linear layer, which cannot see how the two vectors go together.
        """
        super().__init__()
        self.number = number
        self.first = nn.Linear(2 * dimension, hidden or number)
        self.last = nn.Linear(hidden, number) if hidden else None

    def cells(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores all pairs; float32 [N, B, C]. The first layer is added up from its two halves."""
        with torch.autocast(x.device.type, enabled=False):
            left, right = self.first.weight.chunk(2, dim=1)
            ours = functional.linear(x.float(), left, self.first.bias)
            theirs = functional.linear(y.float(), right)
            return self._finish(ours.unsqueeze(1) + theirs)

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores row by row; float32 [N, M]."""
        with torch.autocast(x.device.type, enabled=False):
            return self._finish(self.first(torch.cat([x.float(), y.float()], dim=1)))

    def _finish(self, first: Tensor) -> Tensor:
        """Goes on from the first layer's output [..., h]; ranks first."""
        scores: Tensor = first if self.last is None else self.last(torch.relu(first))
        return scores.movedim(-1, 0)


def start_similarities(number: int) -> list[float]:
    """Returns the similarities of `number` ranks that a mixture starts from without data.

    Four ranks have (0.9, 0.6, 0.35, 0.1); other numbers are spaced between the same ends along the same curve.
    """
    known = torch.tensor([0.9, 0.6, 0.35, 0.1])
    places = torch.linspace(0, 3, number)
    left = places.long().clamp(max=2)
    similarities: list[float] = torch.lerp(known[left], known[left + 1], places - left).tolist()
    return similarities
