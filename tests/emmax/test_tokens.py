"""Packed sentences: the same vectors and gradients as padded ones, for each type of encoder that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import varlen
from transformers import AutoConfig, AutoModel

from xrete.errors import UsageError
from xrete.models.emmax.config import Compute, EncoderConfig
from xrete.models.emmax.export import write_model
from xrete.models.emmax.start import open_start
from xrete.models.emmax.tokens import PACKABLE, Layout, Packed, layout_of, packed_attention, pick_attention

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SENTENCES = [[5, 6, 7, 8, 9, 10, 11], [9, 8, 7], [5, 5, 5], [12, 11], [7], [20]]


def network(kind: str, seed: int = 0) -> Any:
    """Draws a small transformer whose attention is far from even."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind, vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, initializer_range=0.5,
    )  # fmt: skip
    make: Any = AutoModel.from_config
    return make(config).eval()


def pool(transformer: Any, layout: Layout, sentences: list[list[int]], how: str) -> Tensor:
    flat = np.concatenate([np.array(ids, dtype=np.int64) for ids in sentences])
    tokens = layout(flat, [len(ids) for ids in sentences], CPU, 0)
    assert len(tokens) == len(sentences)
    states = transformer(**tokens.inputs()).last_hidden_state
    vectors: Tensor = tokens.first(states) if how == "first" else tokens.mean(states)
    return vectors


@pytest.mark.parametrize("how", ["first", "mean"])
@pytest.mark.parametrize("kind", PACKABLE)
def test_packed_sentences_have_the_vectors_and_gradients_of_padded_ones(kind: str, how: str) -> None:
    wanted = torch.randn(len(SENTENCES), 16, generator=torch.Generator().manual_seed(1))
    found = []
    for attention in ("sdpa", "packed"):
        transformer = network(kind)
        transformer.set_attn_implementation(attention)
        tokenizer = type("Tokenizer", (), {"pad_token_id": transformer.config.pad_token_id})
        layout = layout_of(transformer, tokenizer)
        assert (layout.first_position is None) == (attention == "sdpa")
        vectors = pool(transformer, layout, SENTENCES, how)
        (vectors * wanted).sum().backward()
        found.append((vectors, [weight.grad for weight in transformer.parameters() if weight.grad is not None]))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-5, atol=1e-5)
    assert len(found[1][1]) == len(found[0][1]) > 20
    for ours, theirs in zip(found[1][1], found[0][1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_sentences_that_are_packed_do_not_see_each_other() -> None:
    transformer, layout = network("xlm-roberta"), Layout(1, 2)
    transformer.set_attn_implementation("packed")
    together = pool(transformer, layout, SENTENCES, "mean")
    for place, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(pool(transformer, layout, [sentence], "mean")[0], together[place])
    others = [[30, 31, 32, 33, 34, 35, 36], *SENTENCES[1:]]
    torch.testing.assert_close(pool(transformer, layout, others, "mean")[1:], together[1:])


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_layouts_hold_every_token_once_in_its_place(lengths: list[int]) -> None:
    ids = np.arange(100, 100 + sum(lengths))
    for layout in (Layout(1, None), Layout(1, 2)):
        tokens = layout(ids, lengths, CPU, 7)
        assert tokens.seed == 7
        assert tokens.ids.flatten()[torch.from_numpy(layout.places(lengths))].tolist() == ids.tolist()
        states = tokens.ids.unsqueeze(-1).float()
        sentences = np.split(ids, np.cumsum(lengths)[:-1])
        assert tokens.first(states).flatten().tolist() == [float(sentence[0]) for sentence in sentences]
        means = torch.tensor([float(sentence.mean()) for sentence in sentences])
        torch.testing.assert_close(tokens.mean(states).flatten(), means)
    assert isinstance(tokens, Packed)
    assert [length for count, length in tokens.runs() for _ in range(count)] == lengths
    assert tokens.positions[0].tolist() == [2 + place for length in lengths for place in range(length)]


def test_weights_are_dropped_where_that_is_asked_for() -> None:
    states = torch.randn(3, 1, 2, 12, 4)
    packed = Layout(1, 2)(np.arange(12), [6, 6], CPU, 0)
    plain, _ = packed_attention(torch.nn.Identity(), *states, None, packed=packed)
    dropped, _ = packed_attention(torch.nn.Identity(), *states, None, packed=packed, dropout=0.5)
    assert plain.shape == dropped.shape == (1, 12, 2, 4)
    assert not torch.allclose(plain, dropped)


class OnGpu(Tensor):
    """Says that it is on a GPU."""

    is_cuda = True


def test_the_kernel_for_variable_lengths_gets_what_it_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU in half precision: [tokens, heads, width] and where sentences begin; by a stand-in, brute force."""
    calls = []

    def stand_in(
        q: Tensor, k: Tensor, v: Tensor, at: Tensor, keys_at: Tensor, most: int, most_keys: int, *, scale: float
    ) -> Tensor:
        assert at.dtype == keys_at.dtype == torch.int32
        calls.append((most, most_keys))
        rows = []
        for start, end in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
            a, b, c = (part[start:end].transpose(0, 1) for part in (q, k, v))
            rows.append(torch.softmax(a @ b.transpose(1, 2) * scale, dim=-1) @ c)
        return torch.cat([row.transpose(0, 1) for row in rows])

    monkeypatch.setattr(varlen, "varlen_attn", stand_in)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    packed = Layout(1, 2)(np.arange(11), [5, 3, 3], CPU, 0)
    states = torch.randn(3, 1, 2, 11, 8).bfloat16()
    expected, _ = packed_attention(torch.nn.Identity(), *states, None, packed=packed, scaling=0.3)
    found, _ = packed_attention(
        torch.nn.Identity(), *(part.as_subclass(OnGpu) for part in states), None, packed=packed, scaling=0.3
    )
    assert calls == [(5, 5)]
    torch.testing.assert_close(found.as_subclass(Tensor), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("dtype", "width", "dropout", "capability"),
    [
        (torch.float32, 8, 0.0, (8, 0)),
        (torch.bfloat16, 8, 0.1, (8, 0)),  # which the kernel would not drop
        (torch.bfloat16, 20, 0.0, (8, 0)),
        (torch.bfloat16, 264, 0.0, (9, 0)),
        (torch.bfloat16, 8, 0.0, (7, 5)),
    ],
)
def test_what_the_kernel_cannot_do_goes_length_by_length(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, width: int, dropout: float, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", lambda *given, **more: pytest.fail("the kernel was called"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    packed = Layout(1, 2)(np.arange(11), [5, 3, 3], CPU, 0)
    states = [torch.randn(1, 2, 11, width).to(dtype).as_subclass(OnGpu) for _ in range(3)]
    found, _ = packed_attention(torch.nn.Identity(), *states, None, packed=packed, dropout=dropout)
    assert found.shape == (1, 11, 2, width)


def test_attention_is_what_is_fastest() -> None:
    def picked(kind: str, device: torch.device, **compute: Any) -> str:
        return str(pick_attention(Compute(**compute), kind, device))

    assert picked("xlm-roberta", CPU) == "packed"
    assert picked("xlm-roberta", CPU, dtype="bfloat16") == "eager"
    assert picked("xlm-roberta", CPU, compile=True) == picked("mpnet", CPU) == "sdpa"
    assert picked("xlm-roberta", GPU) == picked("xlm-roberta", GPU, dtype="bfloat16") == "sdpa"
    assert picked("xlm-roberta", GPU, attention="packed") == picked("bert", CPU, attention="packed") == "packed"
    assert picked("xlm-roberta", CPU, attention="eager", dtype="bfloat16") == "eager"
    with pytest.raises(UsageError, match=r"does not go with compute\.compile"):
        picked("xlm-roberta", GPU, attention="packed", compile=True)
    with pytest.raises(UsageError, match=r"of type bert.* and this one is of type mpnet; leave it at 'auto'"):
        picked("mpnet", CPU, attention="packed")


def test_a_checkpoint_names_no_attention_and_a_folder_that_does_is_not_obeyed(start: Path, tmp_path: Path) -> None:
    opened = open_start(EncoderConfig(start=str(start), max_length=32), Compute(), mlm=False)
    assert opened.layout == Layout(1, 2)
    weights = {f"encoder.{name}": weight for name, weight in opened.query.encoder.state_dict().items()}
    card: dict[str, Any] = {"xrete": "0", "start": "random weights", "phase": "em", "step": 1, "overlap": None}
    write_model(tmp_path / "model", opened, weights, card | {"corpora": {"parallel": {}, "monolingual": {}}})
    file = tmp_path / "model" / "config.json"
    settings = json.loads(file.read_text())
    assert "packed" not in str(settings)
    file.write_text(json.dumps(settings | {"attn_implementation": "flash_attention_2"}))
    again = open_start(EncoderConfig(start=str(tmp_path / "model"), max_length=32), Compute(), mlm=False)
    assert again.layout == opened.layout


@pytest.mark.parametrize("kind", PACKABLE)
def test_a_mask_that_is_ready_is_the_one_that_transformers_makes(kind: str) -> None:
    transformer = network(kind)
    transformer.set_attn_implementation("sdpa")
    tokenizer = type("Tokenizer", (), {"pad_token_id": transformer.config.pad_token_id})
    layout = layout_of(transformer, tokenizer)
    assert layout.ready
    plain = Layout(layout.fill, None)
    for sentences in (SENTENCES, [SENTENCES[1], SENTENCES[2]]):  # without padding, there is none
        assert torch.equal(
            pool(transformer, layout, sentences, "mean"), pool(transformer, plain, sentences, "mean")
        )
    transformer.set_attn_implementation("eager")
    assert not layout_of(transformer, tokenizer).ready
