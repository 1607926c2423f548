"""Training on several processes: who one is, and the few exchanges that losses need.

Every process draws the same global batch and works on its own rows of it. Gradients are averaged, so each process
scales its part of a mean by the number of processes over the global count; the result is that of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard

from xrete.devices import pick_device
from xrete.errors import UsageError


@dataclass(frozen=True)
class Team:
    """The processes of one run.

    Attributes:
        rank: This process's number.
        size: How many there are.
        device: Where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @staticmethod
    def join(device: str) -> Team:
        """Joins the processes of a launch by torchrun or accelerate; without one, this process is alone.

        Args:
            device: As users name it; under a launch with GPUs each process takes its own.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Team(0, 1, pick_device(device))
        from accelerate import PartialState

        on_cpu = device == "cpu" or not torch.cuda.is_available()
        state = PartialState(cpu=on_cpu)
        return Team(state.process_index, state.num_processes, state.device)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Returns this process's rows of a global batch.

        Raises:
            UsageError: it cannot be divided.
        """
        if count % self.size:
            raise UsageError(f"a batch of {count} cannot be divided by {self.size} processes; change one of them")
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, rows: Tensor) -> Tensor:
        """Returns the rows [n, ...] of all processes in their order, [size * n, ...], without gradients."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over all processes, of the values' own shape [...], without gradients."""
        values = values.detach().clone()
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def mean(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Returns this process's part of sums [...] over counts [...], to be averaged over all; 0 of nothing."""
        return sums * (self.size / self.sum(counts).clamp(min=1))

    def average_gradients(self, module: nn.Module) -> None:
        """Averages the gradients of a small module in one exchange; a large one is wrapped instead."""
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        if self.size > 1 and gradients:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient) / self.size)

    def any(self, flag: bool) -> bool:
        """Returns whether any process raises the flag."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)).item()) if self.size > 1 else flag

    def wait(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """Ends the launch's connections."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def replicate(self, module: nn.Module) -> nn.Module:
        """Makes a module, the same on all processes, average its gradients over them while it goes back (DDP)."""
        if self.size == 1:
            return module
        own = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=own, gradient_as_bucket_view=True)

    def shard(self, module: nn.Module, layers: Iterable[nn.Module]) -> None:
        """Spreads the parameters of a module, the same on all processes, over them (FSDP2).

        Outside a pass every process holds its part, so that parts can be averaged, saved and optimised.

        Args:
            module: On this process's device.
            layers: Parts whose parameters are fetched one part at a time.
        """
        for layer in layers:
            fully_shard(layer)
        fully_shard(module, reshard_after_forward=True)
