"""One step's passes through the encoder: forward to sentence vectors, and backward from their gradients."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from xrete.encoding.transformer import move
from xrete.training.team import Team

from .encoder import Masked
from .tokens import Tokens


class GradientCache:
    """The encoder's passes over one process's sentences: in one piece, or by gradient caching (Gao et al. 2021).

    With caching, a first pass without activations gives the vectors, the loss gives their gradients, and a second
    pass, with the same dropout, carries them into the encoder part by part. The result is the same.

    Attributes:
        vectors: Unit rows [b, d]; a leaf, whose gradient the loss fills.
    """

    def __init__(
        self, module: nn.Module, parts: list[tuple[list[Tokens], list[Masked]]], order: NDArray[np.intp]
    ) -> None:
        """Runs the forward pass.

        Args:
            module: The query encoder and its head, as it is replicated or sharded.
            parts: Groups of sentences, and of corrupted ones, that run at once; one part is kept for the backward
                pass.
            order: Place of each row that comes out among the sentences, int [b].
        """
        self._module = module
        self._parts = parts
        self._order = order
        self._kept: tuple[Tensor, Tensor] | None = None
        if len(parts) == 1:
            self._kept = module(*parts[0])
            vectors = self._kept[0]
        else:
            with torch.no_grad():
                vectors = torch.cat([module(tokens)[0] for tokens, _ in parts])
        self.vectors = in_order(vectors.detach(), order).requires_grad_()

    def backward(self, team: Team, mlm_weight: float) -> Tensor:
        """Carries the gradient of the vectors into the encoder, and that of masked language modelling with it.

        Args:
            team: The processes; the encoder's gradients are averaged over them with the last part.
            mlm_weight: Of the loss of masked language modelling.

        Returns:
            This process's part of the mean loss of masked language modelling, a scalar.
        """
        gradients = torch.zeros_like(self.vectors) if self.vectors.grad is None else self.vectors.grad
        gradients = gradients[move(self._order, gradients.device)]
        counts = [len(group.places) for _, masked in self._parts for group in masked]
        total = move(np.array(sum(counts), dtype=np.float32), team.device)
        scale = team.size / team.sum(total).clamp(min=1) if counts else 1
        loss = torch.zeros((), device=team.device)
        sizes = [sum(map(len, tokens)) for tokens, _ in self._parts]
        for part, gradient in enumerate(torch.split(gradients, sizes)):
            with self._alone(part < len(sizes) - 1):
                vectors, mlm = self._kept or self._module(*self._parts[part])
                pairs = [(vectors, gradient), (mlm, mlm_weight * scale)]
                outputs, into = zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True)
                torch.autograd.backward(outputs, into)
            loss = loss + mlm.detach() * scale
        return loss

    def _alone(self, alone: bool) -> contextlib.AbstractContextManager[None]:
        """Keeps gradients on this process until the last part."""
        if alone and isinstance(self._module, nn.parallel.DistributedDataParallel):
            return self._module.no_sync()
        if isinstance(self._module, FSDPModule):
            self._module.set_requires_gradient_sync(not alone)
        return contextlib.nullcontext()


def in_order(vectors: Tensor, order: NDArray[np.intp]) -> Tensor:
    """Puts rows that came group after group back in the order of the batch.

    Args:
        vectors: [b, d].
        order: Place of each row in the batch, int [b].
    """
    result = torch.empty_like(vectors)
    result[move(order, vectors.device)] = vectors
    return result
