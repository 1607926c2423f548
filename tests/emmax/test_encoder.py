"""The encoder, its momentum copy, the queue of keys, tokenizers, and how sentences become groups of tokens."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import ElectraConfig, ElectraModel

from xrete.errors import DataError, UsageError, XreteError
from xrete.models.emmax import encoder as encoders
from xrete.models.emmax import vocabulary
from xrete.models.emmax.batches import Group, Grouping, order_of
from xrete.models.emmax.config import Compute, EncoderConfig, MaskedLanguageModel
from xrete.models.emmax.encoder import Masked
from xrete.models.emmax.masking import TokenMasker
from xrete.models.emmax.momentum import KeyEncoder, KeyQueue
from xrete.models.emmax.start import Start, open_start
from xrete.models.emmax.tokens import Layout, Packed, Padded, Tokens
from xrete.models.emmax.vocabulary import read_tokenizer, train_tokenizer

Open = Callable[..., Start]
CPU = torch.device("cpu")
TEXTS = ["pöpòpö pönô", "wôhu", "gìhįjù cǫhįpö", "nôdó dówômũ nôdó"]


@pytest.fixture(params=["packed", "sdpa"])
def opened(request: pytest.FixtureRequest, start: Path) -> Open:
    """Opens encoders that take sentences packed, and padded."""

    def make(*, mlm: bool = False, **settings: Any) -> Start:
        config = EncoderConfig.model_validate({"start": str(start), "max_length": 32, "dropout": 0.0, **settings})
        return open_start(config, Compute(attention=request.param), mlm=mlm)

    return make


def group_of(start: Start, texts: Sequence[str], rows: Sequence[int] | None = None) -> Group:
    places = np.array(rows if rows is not None else range(len(texts)))
    return Group(places, start.tokenizer(list(texts))["input_ids"])


def tokens_of(start: Start, texts: Sequence[str], seed: int = 0) -> Tokens:
    group = group_of(start, texts)
    return start.layout(group.flat, group.lengths, CPU, seed)


def test_dropout_is_seeded_on_the_gpu_of_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else the second pass of gradient caching on cuda:1 would not drop what the first one dropped."""
    current, seeded = [0], []

    @contextlib.contextmanager
    def device(wanted: torch.device) -> Iterator[None]:
        current.append(wanted.index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append((current[-1], seed)))
    elsewhere: Any = SimpleNamespace(device=torch.device("cuda:1"))
    encoders.seed_dropout(Padded(elsewhere, 5, elsewhere, elsewhere))
    assert seeded == [(1, 5)]


# --- the queue ----------------------------------------------------------------------------------------------


@given(size=st.integers(0, 7), batches=st.lists(st.integers(0, 17), max_size=8))
def test_the_queue_holds_the_newest_keys(size: int, batches: list[int]) -> None:
    queue = KeyQueue(size, 3)
    keys = torch.arange(sum(batches)).float().unsqueeze(1).expand(-1, 3)
    pushed = 0
    for count in batches:
        queue.push(keys[pushed : pushed + count], torch.arange(pushed, pushed + count))
        pushed += count
        found, ids = queue.newest()
        newest = range(max(0, pushed - size), pushed)
        assert sorted(ids.tolist()) == list(newest)
        assert torch.equal(found, ids.float().unsqueeze(1).expand(-1, 3))  # each key is beside its own id
        assert queue.valid == len(newest)


def test_a_full_queue_replaces_the_oldest_in_place() -> None:
    queue = KeyQueue(4, 1)
    for first, count in ((0, 3), (3, 2)):
        queue.push(torch.arange(first, first + count).float().unsqueeze(1), torch.arange(first, first + count))
    assert queue.newest()[1].tolist() == [4, 1, 2, 3]
    assert queue.pointer == 1


# --- the key encoder ----------------------------------------------------------------------------------------


def test_keys_start_as_the_query_and_follow_it_by_the_closed_form(opened: Open) -> None:
    start = opened(pooling="pooler_dense")
    query = start.query.encoder
    keys = KeyEncoder(query, 0.9, dropout=False)
    begun = [weight.clone() for weight in query.parameters()]
    assert len(begun) == len(list(keys.encoder.parameters()))
    for ours, theirs in zip(keys.encoder.parameters(), query.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours is not theirs

    moves = torch.Generator().manual_seed(1)
    seen = []
    for _ in range(3):  # Theta_3 = m^3 Theta_0 + (1 - m) (m^2 q_1 + m q_2 + q_3)
        keys.update(query)
        seen.append([weight.clone() for weight in query.parameters()])
        with torch.no_grad():
            for weight in query.parameters():
                weight.add_(torch.randn(weight.shape, generator=moves))
    for found, first, *steps in zip(keys.encoder.parameters(), begun, *seen, strict=True):
        expected = 0.9**3 * first.double() + 0.1 * sum(
            0.9 ** (2 - k) * value.double() for k, value in enumerate(steps)
        )
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
        assert not found.requires_grad


@pytest.mark.parametrize("dropout", [False, True])
def test_keys_have_dropout_only_where_it_is_asked_for(opened: Open, dropout: bool) -> None:
    start = opened(dropout=0.3)
    keys = KeyEncoder(start.query.encoder, 0.999, dropout=dropout).train()
    first, again, other = (keys([tokens_of(start, TEXTS, seed)]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) is not dropout
    assert not first.requires_grad


# --- vectors ------------------------------------------------------------------------------------------------


def by_transformers(start: Start, pooling: str, text: str) -> Tensor:
    encoder = start.query.encoder
    ids = torch.tensor([start.tokenizer(text)["input_ids"]])
    transformer = copy.deepcopy(encoder.transformer).eval()
    transformer.set_attn_implementation("eager")
    output = transformer(input_ids=ids)
    if pooling == "pooler_dense":
        assert encoder.dense is not None
        vector = encoder.dense(output.pooler_output)
    else:
        states = output.last_hidden_state
        vector = states[:, 0] if pooling == "cls" else states.mean(dim=1)
    unit: Tensor = vector[0] / vector[0].norm()
    return unit


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler_dense"])
def test_vectors_do_not_depend_on_grouping_and_padding(opened: Open, pooling: str) -> None:
    start = opened(pooling=pooling)
    start.query.eval()
    expected = torch.stack([by_transformers(start, pooling, text) for text in TEXTS])
    whole = start.query.encoder([tokens_of(start, TEXTS)])
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-6)
    parts = start.query.encoder([tokens_of(start, TEXTS[:1]), tokens_of(start, TEXTS[1:])])
    torch.testing.assert_close(parts, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(len(TEXTS)))


def test_autocast_is_for_the_transformer_and_its_head(start: Path) -> None:
    config = EncoderConfig(start=str(start), max_length=32, pooling="pooler_dense")
    opened = open_start(config, Compute(dtype="bfloat16"), mlm=True)
    encoder, head = opened.query.encoder.eval(), opened.query.head
    assert head is not None
    seen: list[torch.dtype] = []
    first = encoder.transformer.encoder.layer[0].intermediate.dense
    for module in (first, encoder.transformer.pooler, head):
        module.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    group = tokens_of(opened, TEXTS[1:])
    vectors, loss = opened.query([group], hidden(opened, TEXTS[1:]))
    assert set(seen) == {torch.bfloat16}
    assert len(seen) > 3
    assert vectors.dtype == loss.dtype == torch.float32
    assert {weight.dtype for weight in opened.query.parameters()} == {torch.float32}
    exact = open_start(config, Compute(attention="sdpa"), mlm=False).query.encoder.eval()
    exact.load_state_dict(encoder.state_dict())
    assert float((encoder([group]) * exact([group])).detach().sum(1).min()) > 0.999


# --- opening ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler_dense"])
@pytest.mark.parametrize("mlm", [False, True])
def test_every_parameter_is_reached_by_a_loss(opened: Open, pooling: str, mlm: bool) -> None:
    """Else processes that exchange gradients would wait for it."""
    start = opened(pooling=pooling, mlm=mlm)
    start.query.use(vectors=True, head=mlm)
    group = tokens_of(start, TEXTS)
    masked = hidden(start, TEXTS) if mlm else []
    vectors, loss = start.query([group], masked)
    (vectors[:, 0].sum() + loss).backward()
    assert [name for name, weight in start.query.named_parameters() if weight.grad is None] == []


def test_phases_train_only_what_their_losses_reach(opened: Open) -> None:
    start = opened(pooling="pooler_dense", mlm=True)
    start.query.use(vectors=False, head=True)
    start.query([], hidden(start, TEXTS))[1].backward()
    learning = {name for name, weight in start.query.named_parameters() if weight.requires_grad}
    assert learning == {name for name, weight in start.query.named_parameters() if weight.grad is not None}
    start.query.use(vectors=True, head=False)
    frozen = {name for name, weight in start.query.named_parameters() if not weight.requires_grad}
    assert frozen == {
        f"head.{name}" for name in ("bias", "dense.bias", "dense.weight", "layer_norm.weight", "layer_norm.bias")
    }


def test_the_head_shares_the_embeddings(opened: Open, start: Path) -> None:
    query = opened(mlm=True).query
    assert query.head is not None
    embeddings = query.encoder.transformer.get_input_embeddings().weight
    assert query.head.decoder.weight is embeddings
    saved = load_file(start / "model.safetensors")
    assert torch.equal(embeddings, saved["roberta.embeddings.word_embeddings.weight"])
    assert torch.equal(query.head.dense.weight, saved["lm_head.dense.weight"])


def test_a_folder_that_lacks_weights_is_refused(start: Path, tmp_path: Path) -> None:
    shutil.copytree(start, tmp_path / "torn")
    file = tmp_path / "torn" / "model.safetensors"
    weights = load_file(file)
    del weights["roberta.encoder.layer.0.output.dense.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    config = EncoderConfig(start=str(tmp_path / "torn"))
    with pytest.raises(
        XreteError, match=r"1 weights of XLMRobertaModel are missing, the first is encoder\.layer\.0"
    ):
        open_start(config, Compute(), mlm=False)


def test_a_pooler_that_is_not_bert_s_is_refused(start: Path, tmp_path: Path) -> None:
    shutil.copytree(start, tmp_path / "electra")
    made: Any = ElectraConfig(
        vocab_size=443, embedding_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, pad_token_id=1
    )
    ElectraModel(made).save_pretrained(tmp_path / "electra")
    config = EncoderConfig(start=str(tmp_path / "electra"), pooling="pooler_dense")
    with pytest.raises(UsageError, match=r"pooler_dense' needs an encoder with BERT's pooler, and .*electra"):
        open_start(config, Compute(), mlm=False)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("DistilBert", {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}),
        (
            "ModernBert",
            {
                "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2,
            },
        ),
    ],
)  # fmt: skip
def test_dropout_has_other_names_in_other_encoders(
    start: Path, tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    shutil.copytree(start, tmp_path / kind)
    made: Any = getattr(transformers, f"{kind}Config")(vocab_size=443, pad_token_id=1, **settings)
    getattr(transformers, f"{kind}ForMaskedLM")(made).save_pretrained(tmp_path / kind)
    config = EncoderConfig(start=str(tmp_path / kind), dropout=0.25, attention_dropout=0.125)
    found = open_start(config, Compute(), mlm=False)
    rates = {part.p for part in found.query.encoder.modules() if isinstance(part, torch.nn.Dropout)}
    assert rates == {0.25, 0.125}
    assert found.query.encoder.transformer.config.attention_dropout == 0.125
    vectors = found.query.encoder([tokens_of(found, TEXTS)])
    assert vectors.shape == (len(TEXTS), 8)
    with pytest.raises(UsageError, match=r"is of type .*bert, whose head .* use --set mlm.weight=0"):
        open_start(config, Compute(), mlm=True)


def test_starts_that_cannot_be_trained_are_one_sentence(start: Path, tmp_path: Path) -> None:
    for name, made in (
        ("t5", transformers.T5Config(vocab_size=443, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)),
        ("canine", transformers.CanineConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)),
    ):
        shutil.copytree(start, tmp_path / name)
        made.save_pretrained(tmp_path / name)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')
    for name, words in (
        ("t5", r"type t5 has no dropout to set; use --set encoder\.dropout=own"),
        ("canine", "type canine cannot be trained here, since its vectors depend on padding"),
        ("adapter", r"an adapter is no whole encoder; add it .* 'xrete export hf:.*adapter FOLDER', and start"),
    ):
        with pytest.raises(UsageError, match=words):
            open_start(EncoderConfig(start=str(tmp_path / name), dropout=0.1), Compute(), mlm=False)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        open_start(EncoderConfig(start=f"{tmp_path}/absent"), Compute(), mlm=False)


def test_a_revision_is_asked_for(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(repo: str, revision: str | None, *, weights: bool) -> Path:
        asked.append((repo, revision, weights))
        return start

    monkeypatch.setattr("xrete.models.emmax.start.snapshot", snapshot)
    config = EncoderConfig(start="acme/encoder", revision="0123abc")
    opened = open_start(config, Compute(), mlm=False)
    assert asked == [("acme/encoder", "0123abc", True)]
    assert opened.source == "acme/encoder (0123abc)"


def test_the_length_is_what_the_encoder_can_read(opened: Open) -> None:
    assert opened(max_length=512).max_length == 32
    assert opened(max_length=8).max_length == 8


# --- tokenizers ---------------------------------------------------------------------------------------------


def test_a_vocabulary_that_is_too_small_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"encoder\.scratch\.vocabulary = 6: no tokenizer of this text \(.*\); raise"
    ):
        train_tokenizer(["abcdefgh ijklmnop"] * 9, 6)


def test_a_damaged_corpus_is_no_fault_of_the_vocabulary() -> None:
    def texts() -> Iterator[str]:
        yield "abc"
        raise DataError("the corpus is damaged")

    with pytest.raises(DataError, match="the corpus is damaged"):
        train_tokenizer(texts(), 300)


def test_training_a_tokenizer_twice_gives_the_same(world: Path, tmp_path: Path) -> None:
    texts = [line for file in sorted(world.glob("mono/*.txt")) for line in file.read_text("utf-8").splitlines()]
    first, again = train_tokenizer(texts, 300), train_tokenizer(texts, 300)
    assert first == again
    file = tmp_path / "tokenizer.json"
    file.write_text(first, "utf-8")
    tokenizer = read_tokenizer(file, 32)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert 100 < len(tokenizer) <= 300
    assert tokenizer.model_max_length == 32
    for text in texts[:50]:
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids[-1]) == (0, 2)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_one_order_changes_nothing_but_the_order() -> None:
    special = [["<s>", 0.0], ["<pad>", 0.0]]
    pieces = [["ab", -1.0], ["a", -2.0], ["b", -3.0]]
    numbered = [["x", -3.9998], ["y", -3.9999], ["z", -4.0]]
    digits = [["ab", -1.0 + 1e-15], ["a", -2.0], ["b", -3.0]]
    shuffled = [["z", -3.9998], ["x", -3.9999], ["y", -4.0]]
    found = vocabulary.in_one_order([*special, *pieces, *numbered], first=2)
    assert [tuple(row) for row in found] == [
        ("<s>", 0.0), ("<pad>", 0.0), ("ab", -1.0), ("a", -2.0), ("b", -3.0), ("x", -4.0), ("y", -4.0), ("z", -4.0)
    ]  # fmt: skip
    assert vocabulary.in_one_order([*special, *digits, *shuffled], first=2) == found


# --- groups -------------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    budget=st.integers(1, 60),
    even=st.booleans(),
)
def test_groups_hold_every_sentence_once_within_the_budget(lengths: list[int], budget: int, even: bool) -> None:
    def tokenizer(texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[int(text)] * min(int(text), options["max_length"]) for text in texts]}

    groups = Grouping(tokenizer, 10, budget, even=even)([str(length) for length in lengths])
    assert sorted(order_of(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert [len(ids) for ids in group.ids] == [min(lengths[row], 10) for row in group.rows]
        assert len(group.ids) == 1 or len(group.ids) * max(map(len, group.ids)) <= budget
    sizes = [max(map(len, group.ids)) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    if even:  # as many groups as any other sentences would make
        longest = Grouping(tokenizer, 10, budget, even=True)(["10"] * len(lengths))
        assert [len(group.ids) for group in groups] == [len(group.ids) for group in longest]


# --- hidden tokens ------------------------------------------------------------------------------------------


def hidden(
    start: Start, texts: Sequence[str], rows: Sequence[int] | None = None, *, first: int = 0
) -> list[Masked]:
    """Corrupts texts that are these rows of a batch, or of a process whose first row is another than 0."""
    config = MaskedLanguageModel(weight=1.0, share=0.5)
    hide = TokenMasker((len(TEXTS), 32), start.tokenizer, start.layout, config, seed=3)
    return [hide(group_of(start, texts, rows), first, CPU, seed=4)]


def labels(masked: Masked) -> Tensor:
    """The right ids where they are to be predicted, else -100 (as in transformers), laid out as the ids are."""
    right = torch.full_like(masked.tokens.ids, -100)
    right.view(-1)[masked.places] = masked.targets
    return right


def each(tokens: Tokens, values: Tensor) -> list[Tensor]:
    """Splits values of tokens into those of each sentence, without padding."""
    if isinstance(tokens, Packed):
        return list(values[0].split(tokens.lengths))
    assert isinstance(tokens, Padded)
    return [row[here.bool()] for row, here in zip(values, tokens.mask, strict=True)]


def test_what_is_hidden_does_not_depend_on_grouping(opened: Open) -> None:
    start = opened(mlm=True)
    whole = hidden(start, TEXTS)[0]
    assert len(whole.places) > 5
    right, read = each(whole.tokens, labels(whole)), each(whole.tokens, whole.tokens.ids)
    for rows, first in (([2, 0], 0), ([1], 0), ([3], 0), ([1], 2)):  # and the second sentence of another process
        part = hidden(start, [TEXTS[first + row] for row in rows], rows, first=first)[0]
        its_labels, its_ids = each(part.tokens, labels(part)), each(part.tokens, part.tokens.ids)
        for place, row in enumerate(rows):
            assert torch.equal(its_labels[place], right[first + row])
            assert torch.equal(its_ids[place], read[first + row])


def test_hidden_tokens_are_masked_changed_or_kept_and_special_ones_left_alone(opened: Open) -> None:
    start = opened(mlm=True)
    ids = torch.randint(5, len(start.tokenizer), (400, 32), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 0, 2
    config = MaskedLanguageModel(weight=1.0, share=0.25, smoothing=0.1)
    hide = TokenMasker((400, 32), start.tokenizer, start.layout, config, seed=3)
    found = hide(Group(np.arange(400), ids.tolist()), 0, CPU, seed=4)
    read, right = found.tokens.ids.view(400, 32), labels(found).view(400, 32)
    chosen = right != -100
    assert not chosen[:, [0, -1]].any()
    assert torch.equal(right[chosen], ids[chosen])
    assert torch.equal(read[~chosen], ids[~chosen])
    assert float(chosen[:, 1:-1].float().mean()) == pytest.approx(0.25, abs=0.015)
    masked = read[chosen] == start.tokenizer.mask_token_id
    kept = read[chosen] == ids[chosen]
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.03)
    assert (found.smoothing, found.tokens.seed) == (0.1, 4)


def test_the_loss_of_hidden_tokens_is_their_cross_entropy(opened: Open, start: Path) -> None:
    """By transformers' own model, which takes the mean over the same tokens."""
    from transformers import AutoModelForMaskedLM

    mine = opened(mlm=True)
    masked = hidden(mine, TEXTS)[0]
    found = mine.query.eval()([], [masked])[1] / len(masked.places)
    model = AutoModelForMaskedLM.from_pretrained(start).eval()
    ids, right = each(masked.tokens, masked.tokens.ids), each(masked.tokens, labels(masked))
    padded = Layout(1, None)(torch.cat(ids).numpy(), list(map(len, ids)), CPU, 0)
    expected = model(**padded.inputs(), labels=pad_sequence(right, batch_first=True, padding_value=-100)).loss
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
