"""The engine of every transformer model: tokenise once, sort, batch by tokens, pool."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xrete.devices import pick_device, pick_dtype
from xrete.errors import UsageError, XreteError
from xrete.model import Role, refuse_string

if TYPE_CHECKING:
    import torch

Pooling = Literal["cls", "mean", "pooler"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
CPU_BATCH_TOKENS = 1_024
"""Padded tokens in a batch on a CPU: the activations of more do not stay in its cache."""
GPU_BATCH_TOKENS = 65_536
"""Padded tokens in a batch elsewhere: enough work to hide launches, about 1 GB of activations at 1,024 wide."""
BATCH_COST = 1 / 32
"""What a batch more costs, as a share of the time of a full one: calls, and products that fill the machine less."""


class TransformerEncoder:
    """Runs a transformer over sentences: tokenises once, sorts by tokens, fills batches by padded tokens.

    Attributes:
        model: The transformers model, on `device` and in the asked precision.
        tokenizer: Its tokenizer.
        device: Where it runs, as torch spells it.
        parameters: Number of weights.
        chunk_size: How many texts the harness hands over at once; more texts sort into better batches.
        batch_tokens: Most padded tokens in a batch; one longer text is a batch of its own.
        pooling: How token states become one vector.
        head: What follows the pooling, or None.
        prefix: Text put before every sentence.
        prompts: Text put before queries or documents instead, as `for_role` reads them.
        max_length: Most tokens read of a text, or None.
        on_progress: Called after every batch with the number of texts that were in it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        pooling: str,
        head: torch.nn.Module | None = None,
        prefix: str = "",
        max_length: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        batch_tokens: int | None = None,
    ) -> None:
        """Moves the model to its device.

        Args:
            model: A transformers model whose output has `last_hidden_state`, and `pooler_output` if pooled so.
            tokenizer: A transformers tokenizer.
            pooling: How token states become one vector: the first token's state ("cls"), the mean over all
                tokens ("mean"), or the model's own pooler ("pooler").
            head: Modules of sentence-transformers that follow the pooling (dense layers, normalisation): takes and
                returns {"sentence_embedding": vectors}, in float32.
            prefix: Text put before every sentence.
            max_length: Most tokens read of a text, special tokens included; None reads everything.
            device: "auto", "cpu", "cuda", "cuda:1", "mps".
            dtype: Precision of the transformer. Pooling and everything after it run in float32.
            batch_tokens: Most padded tokens in a batch; None takes the device's default.

        Raises:
            UsageError: the device, precision or pooling is not one, or not had here.
        """
        if pooling not in POOLINGS:
            raise UsageError(f"unknown pooling {pooling!r}; use one of {', '.join(POOLINGS)}")
        where = pick_device(device)
        self.model = model.to(where, pick_dtype(dtype)).eval()
        self.tokenizer = tokenizer
        self.device = str(where)
        self.on_progress: Callable[[int], None] | None = None
        on_cpu = where.type == "cpu"
        self.chunk_size = 1_024 if on_cpu else 16_384
        self.batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS)
        self.pooling = pooling
        self.head = head.to(where).float().eval() if head else None
        self.prefix = prefix
        self.prompts: Mapping[Role, str] = {}
        self.max_length = max_length
        self._stride: int = getattr(getattr(model, "config", None), "downsampling_rate", 0)
        self._last = _Tokens([], [], np.zeros(0, dtype=bool))
        weights = [*self.model.parameters(), *(self.head.parameters() if self.head else ())]
        self.parameters = sum(weight.numel() for weight in weights)

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns one vector a text, in the order of `texts`.

        Returns:
            float32 [len(texts), dimension].

        Raises:
            TypeError: `texts` is one string.
            XreteError: the device's memory does not hold a batch.
        """
        import torch

        refuse_string(texts)
        if not texts:
            return self.encode([""])[:0]
        ids = self._tokenise(texts).ids
        batches = plan([len(row) for row in ids], self.batch_tokens)
        parts = []
        with torch.inference_mode():
            for batch in batches:
                try:
                    parts.append(self._forward([ids[index] for index in batch]))
                except torch.OutOfMemoryError as error:
                    raise XreteError(
                        f"out of memory on {self.device} with {self.batch_tokens:,} tokens in a batch; "
                        f"use --batch-tokens {self.batch_tokens // 4}"
                    ) from error
                if self.on_progress:
                    self.on_progress(len(batch))
            vectors = torch.cat(parts).cpu().numpy()  # one copy at the end: a GPU is not waited for in between
        result = np.empty_like(vectors)
        result[np.concatenate(batches)] = vectors
        return result

    def limited(self, max_length: int | None, /) -> TransformerEncoder:
        """Returns an encoder with the same weights that reads no more than `max_length` tokens of a text."""
        return self._changed(max_length=max_length)

    def prompted(self, prefix: str, prompts: Mapping[Role, str], /) -> TransformerEncoder:
        """Returns an encoder with the same weights that puts `prefix` before texts, or what a role has."""
        return self._changed(prefix=prefix, prompts=dict(prompts))

    def for_role(self, role: Role, /) -> TransformerEncoder:
        """Returns an encoder with the same weights that puts before every text what it puts before a role's."""
        return self._changed(prefix=self.prompts.get(role, self.prefix), prompts={})

    def shortened(self, dimension: int, /) -> TransformerEncoder:
        """Returns an encoder with the same weights that keeps the first `dimension` numbers of each vector."""
        from torch import nn

        from xrete.encoding.shortening import FirstNumbers

        return self._changed(
            head=nn.Sequential(*(self.head.children() if self.head else ()), FirstNumbers(dimension))
        )

    def _changed(self, **attributes: Any) -> TransformerEncoder:
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        other._last = _Tokens([], [], np.zeros(0, dtype=bool))
        return other

    def truncated(self, texts: Sequence[str], /) -> NDArray[np.bool_]:
        """Returns which texts are longer than what the model reads, bool [len(texts)]."""
        return self._tokenise(texts).truncated

    def token_ids(self, texts: Sequence[str], /) -> list[list[int]]:
        """Returns what the model reads of each text, prefix and special tokens included."""
        return self._tokenise(texts).ids

    def _tokenise(self, texts: Sequence[str]) -> _Tokens:
        """Tokenises, or returns the last tokenisation where it was of the same texts."""
        texts = list(texts)
        if texts != self._last.texts:
            whole = [self.prefix + text for text in texts]
            ids = self._ids(whole)
            limit = self.max_length or max(map(len, ids), default=0)
            truncated = np.array([len(row) > limit for row in ids], dtype=bool)
            # Only the tokenizer knows which special tokens a shortened text must keep, so it cuts them itself.
            over = np.flatnonzero(truncated)
            short = self._ids([whole[i] for i in over], truncation=True, max_length=limit)
            for index, row in zip(over, short, strict=True):
                ids[index] = row
            self._last = _Tokens(texts, ids, truncated)
        return self._last

    def _ids(self, texts: list[str], **options: Any) -> list[list[int]]:
        if not texts:
            return []
        rows = self.tokenizer(texts, return_attention_mask=False, verbose=False, **options)
        return list(rows["input_ids"])

    def _forward(self, ids: list[list[int]]) -> torch.Tensor:
        """Runs one batch; float32 [len(ids), dimension] on the device."""
        import torch

        lengths = np.array([len(row) for row in ids])
        mask = np.arange(self._columns(int(lengths.max())))[None, :] < lengths[:, None]
        tokens = np.full(mask.shape, self.tokenizer.pad_token_id or 0, dtype=np.int64)
        tokens[mask] = np.concatenate(ids)
        device = torch.device(self.device)
        attention = move(mask.astype(np.int64), device)
        output = self.model(input_ids=move(tokens, device), attention_mask=attention)
        vectors = self.pooled(output, attention)
        if self.head:
            vectors = self.head({"sentence_embedding": vectors})["sentence_embedding"]
        return vectors

    def _columns(self, longest: int) -> int:
        """Returns how many tokens a batch is padded to.

        CANINE reads groups of characters, and not the last one: padding follows, lest vectors depend on the batch.
        """
        if not self._stride:
            return max(1, longest)
        groups = -(-longest // self._stride) + 2
        return min(groups * self._stride, int(self.model.config.max_position_embeddings))

    def pooled(self, output: Any, attention: torch.Tensor) -> torch.Tensor:
        """Makes one vector of the states of each text: float32 [texts, width], before `head`."""
        if self.pooling == "pooler":
            pooled: torch.Tensor = output.pooler_output.float()
            return pooled
        states: torch.Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0].float()
        weights = attention.unsqueeze(-1).float()
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


@dataclass(frozen=True)
class _Tokens:
    """A tokenised list: what the model reads of each text, and which texts it reads only in part."""

    texts: list[str]
    ids: list[list[int]]
    truncated: NDArray[np.bool_]


def move(array: NDArray[Any] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copies [...] from the processor's memory to a device; a GPU is not waited for."""
    import torch

    tensor = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def plan(lengths: Sequence[int], budget: int) -> list[NDArray[np.intp]]:
    """Decides the batches: longest texts first, cut so that padding and batches together cost the least.

    A batch holds as many texts as the budget allows of its longest, or ends before that where texts get shorter and
    another batch costs less than the padding that it saves. The longest come first so that a device too small fails
    at once, and so that the rate only rises.

    Args:
        lengths: Tokens of each text.
        budget: Most padded tokens in a batch.

    Returns:
        Indices into `lengths`, one array [texts] a batch, each exactly once; the same for the same arguments.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    longest = np.asarray(lengths, dtype=np.intp)[order]
    shorter = np.append(np.flatnonzero(np.diff(longest)) + 1, len(order))  # where a batch may end
    cost, begin = {0: 0}, {}
    waiting = [0]
    while (start := heappop(waiting)) < len(order):
        tokens = max(1, int(longest[start]))
        full = min(start + max(1, budget // tokens), len(order))
        for end in {
            *shorter[np.searchsorted(shorter, start, "right") : np.searchsorted(shorter, full)].tolist(),
            full,
        }:
            total = cost[start] + (end - start) * tokens + budget * BATCH_COST
            if total < cost.get(end, math.inf):
                if end not in cost:
                    heappush(waiting, end)
                cost[end], begin[end] = total, start
    return _walk_back(order, begin)


def _walk_back(order: NDArray[np.intp], begin: Mapping[int, int]) -> list[NDArray[np.intp]]:
    """Cuts an order [n] into batches; `begin` says of each batch's end where it begins."""
    batches = []
    end = len(order)
    while end:
        batches.append(order[begin[end] : end])
        end = begin[end]
    return batches[::-1]
