"""Scores of held-out tasks while a run goes on, by the harness itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xrete import evaluate, load_task
from xrete.dataset import Dataset
from xrete.encode import TransformerEncoder

from .config import Watching
from .encoder import Start


class Scorer:
    """Opens the tasks once, and scores an encoder on them as often as asked."""

    def __init__(self, config: Watching) -> None:
        """Opens the tasks' data.

        Raises:
            XreteError: a task or its data is not to be had.
        """
        self.tasks: list[Dataset] = []
        if config.score_every:
            self.tasks = [load_task(name, config.data, split=config.split) for name in config.tasks]

    def score(self, start: Start, device: torch.device) -> dict[str, dict[str, float]]:
        """Scores the encoder as it is, and leaves it as it was.

        Returns:
            For each task the score of each of its groups.
        """
        encoder = start.query.encoder
        training = start.query.training
        model = TransformerEncoder(
            encoder.transformer,
            start.tokenizer,
            pooling={"pooler_dense": "pooler"}.get(encoder.pooling, encoder.pooling),
            head=_Dense(encoder.dense) if encoder.dense is not None else None,
            max_length=start.max_length,
            device=str(device),
        )
        try:
            records = {dataset.card.name: evaluate(model, dataset, use_cache=False) for dataset in self.tasks}
        finally:
            start.query.train(training)
        return {
            task: {group: part.score for group, part in record.groups.items() if part.score is not None}
            for task, record in records.items()
        }


class _Dense(nn.Module):
    """The official code's linear layer, in the form that the engine's head has."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {"sentence_embedding": self.dense(features["sentence_embedding"])}
