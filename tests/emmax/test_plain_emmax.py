"""The plain formulation that benchmarks race against is right, by torch's distributions and by XRETE's parts."""

from __future__ import annotations

import copy
import importlib.util
import math
import statistics
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from xrete.models.emmax.classifier import GaussianMixture
from xrete.models.emmax.losses import classifier_loss, ranking_info_nce
from xrete.models.emmax.ranks import TypicalSimilarity, temperatures

FILE = Path(__file__).parents[2] / "bench" / "plain_emmax.py"
TEXTS = ["a b c d", "b c", "c d e f g h", "a", "h g f"]
WIDTH, RANKS, QUEUE = 8, 4, 40

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="these tests were copied out of their checkout")


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return load(FILE)


@pytest.fixture(scope="module")
def bench(plain: ModuleType) -> ModuleType:
    return load(FILE.with_name("pretraining.py"))


def test_the_text_of_the_race_has_the_lengths_that_it_says(bench: ModuleType, tmp_path: Path) -> None:
    run = bench.make_run(tmp_path, bench.small(64, mlm=False, dtype="float32", count=1), 2000)
    read = run.tokenizer(bench.web_text(2000), truncation=True, max_length=run.start.max_length)
    lengths = [len(ids) for ids in read["input_ids"]]
    assert statistics.median(lengths) == pytest.approx(24, abs=1)
    assert statistics.mean(lengths) == pytest.approx(29, abs=1)


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.nn.functional.normalize(rows, dim=-1)


def gaussians(dimension: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Draws mu, log_var and pi such that all ranks are predicted."""
    draws = torch.Generator().manual_seed(3)
    mu = 0.1 * torch.randn(RANKS, dimension, generator=draws, dtype=dtype)
    spread = torch.tensor([0.1, 0.8, 1.4, 2.0], dtype=dtype).unsqueeze(1) / dimension
    log_var = torch.log(spread) + 0.2 * torch.randn(RANKS, dimension, generator=draws, dtype=dtype)
    return [mu, log_var, 0.3 * torch.randn(RANKS, generator=draws, dtype=dtype)]


def new_state(plain: ModuleType, *, head: bool = False, **changes: Any) -> Any:
    """Makes a tiny XLM-R without dropout, and everything around it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

    pieces = {
        piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefgh"])
    }
    core = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer_class: Any = PreTrainedTokenizerFast  # untyped
    tokenizer = tokenizer_class(
        tokenizer_object=core, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        mask_token="<mask>",
    )  # fmt: skip
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(
        XLMRobertaConfig(
            vocab_size=len(pieces), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=20, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, initializer_range=0.5,
        )
    )  # fmt: skip
    mu, log_var, pi = gaussians(WIDTH, torch.float32)
    return plain.State(
        encoder=model.roberta, tokenizer=tokenizer, head=model.lm_head if head else None,
        mu=mu, log_var=log_var, pi=pi, typical=torch.tensor([0.8, 0.4, 0.0, -0.4]),
        queue=unit(QUEUE, WIDTH, seed=5, dtype=torch.float32), **changes,
    )  # fmt: skip


def vectors(plain: ModuleType, encoder: Any, tokenizer: Any) -> Tensor:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    found: Tensor = plain.sentence_vectors(encoder, batch["input_ids"], batch["attention_mask"])
    return found.detach()


def test_the_posterior_is_that_of_torchs_distributions(plain: ModuleType) -> None:
    x, y = unit(5, 16, seed=1), unit(6, 16, seed=2)
    mu, log_var, pi = (value.requires_grad_() for value in gaussians(16))
    found = plain.plain_posterior(x, y, mu, log_var, pi)

    normal = torch.distributions.Normal(mu, torch.exp(log_var / 2))
    density = torch.distributions.Independent(normal, 1).log_prob((x[:, None] - y)[:, :, None])
    joint = torch.distributions.Categorical(logits=pi).logits + density
    expected = joint - torch.logsumexp(joint, dim=2, keepdim=True)

    assert found.shape == (5, 6, RANKS)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for gradients in zip(
        torch.autograd.grad((found * weights).sum(), [mu, log_var, pi]),
        torch.autograd.grad((expected * weights).sum(), [mu, log_var, pi]),
        strict=True,
    ):
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_the_worked_example_of_the_posterior(plain: ModuleType) -> None:
    mu = torch.tensor([[0.0, 0.0], [0.1, 0.2]], dtype=torch.float64)
    variance = torch.tensor([[0.04, 0.09], [0.25, 0.16]], dtype=torch.float64)
    difference = torch.tensor([[0.3, -0.4]], dtype=torch.float64)
    prior = torch.log(torch.tensor([0.25, 0.75], dtype=torch.float64))
    found = plain.plain_posterior(difference, torch.zeros_like(difference), mu, torch.log(variance), prior)
    assert torch.exp(found).flatten().tolist() == pytest.approx([0.33103041, 0.66896959], abs=1e-8)


def test_the_worked_example_of_ranking_info_nce(plain: ModuleType) -> None:
    similarities = torch.tensor([[0.9, 0.5, 0.45, 0.2, -0.1]], requires_grad=True)
    allowed = torch.ones(1, 5, dtype=torch.bool)
    tau = (0.05, 0.075, 0.1)
    ranks = torch.tensor([[0, 1, 1, 2, 3]])
    assert plain.ranking_info_nce(similarities, ranks, allowed, tau).item() == pytest.approx(0.06129547, abs=1e-7)
    nothing = plain.ranking_info_nce(similarities, torch.full_like(ranks, 3), allowed, tau)
    assert nothing.item() == 0


def test_a_step_has_the_losses_and_typical_similarities_of_xretes_parts(plain: ModuleType) -> None:
    state = new_state(plain)
    x = vectors(plain, state.encoder, state.tokenizer)
    candidates = torch.cat([x, state.queue])  # the key encoder is still the encoder
    allowed = torch.ones(len(x), len(candidates), dtype=torch.bool).fill_diagonal_(False)
    mixture = GaussianMixture(RANKS, WIDTH)
    mixture.mean.data, mixture.log_variance.data, mixture.prior.data = (
        value.detach().clone() for value in (state.mu, state.log_var, state.pi)
    )
    typical = TypicalSimilarity(RANKS, "zeros", 0.999)
    typical.values.copy_(state.typical)

    scores = mixture.cells(x, candidates)
    by_classifier = scores.argmax(dim=0)
    assert len(by_classifier[allowed].unique()) == RANKS
    sums, counts = ranking_info_nce(x @ candidates.T, by_classifier, allowed, temperatures(0.05, 0.1, RANKS))
    ranking = (sums / counts.clamp(min=1)).sum().item()
    by_encoder = typical.ranks(x @ candidates.T)
    assert len(by_encoder[allowed].unique()) > 1
    sums, counts = classifier_loss(scores, by_encoder, allowed, 0.1)
    taught = ((sums / counts.clamp(min=1)).sum() / (counts > 0).sum()).item()
    cells = [allowed & (by_classifier == rank) for rank in range(RANKS)]
    means = torch.stack([(x @ candidates.T)[chosen].mean() for chosen in cells])
    expected = 0.999 * state.typical + 0.001 * means

    found = plain.plain_step(state, TEXTS)
    assert found == pytest.approx({"encoder": ranking, "classifier": taught}, rel=1e-4)
    torch.testing.assert_close(state.typical, expected, rtol=0, atol=1e-6)


def test_published_habits_cost_time_and_change_no_loss(plain: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state(plain, published=True)
    assert state.keys.training
    assert all(layer.attention.self.dropout.p == 0.1 for layer in state.encoder.encoder.layer)

    monkeypatch.setattr(plain, "ATTENTION_DROPOUT", 0.0)  # which is drawn at random
    state = new_state(plain, published=True)
    checked: list[bool] = []
    state.encoder.register_forward_hook(lambda *_: checked.append(torch.is_anomaly_enabled()))
    assert plain.plain_step(state, TEXTS) == plain.plain_step(new_state(plain), TEXTS)
    assert checked == [True]
    assert not torch.is_anomaly_enabled()


def test_a_step_moves_keys_queue_and_all_parameters(plain: ModuleType) -> None:
    state = new_state(plain, head=True, momentum=0.9, mlm_weight=1.0)
    before = copy.deepcopy(state)
    plain.plain_step(state, TEXTS)
    middle, keys = copy.deepcopy(state), state.keys
    losses = plain.plain_step(state, TEXTS)

    assert set(losses) == {"encoder", "classifier", "mlm"}
    assert all(math.isfinite(loss) for loss in losses.values())
    for moved, start, query in zip(
        keys.parameters(), before.encoder.parameters(), middle.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(moved, 0.9 * start + 0.1 * query)
    newest = vectors(plain, keys, state.tokenizer)
    torch.testing.assert_close(state.queue, torch.cat([newest, middle.queue])[:QUEUE])
    for name in ("mu", "log_var", "pi"):
        assert not torch.equal(getattr(state, name), getattr(before, name))
    changed = [
        not torch.equal(now, then)
        for now, then in zip(state.encoder.parameters(), before.encoder.parameters(), strict=True)
    ]
    assert all(changed)


def test_masked_tokens_are_hidden_and_special_ones_never(plain: ModuleType) -> None:
    tokenizer = new_state(plain).tokenizer
    ids = tokenizer([" ".join("abcdefgh"[i % 8] for i in range(500)), "a"], padding=True, return_tensors="pt")
    seen: list[Tensor] = []

    def encoder(input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        seen.append(input_ids)
        return SimpleNamespace(last_hidden_state=torch.zeros(*input_ids.shape, WIDTH))

    torch.manual_seed(0)
    guess = torch.nn.Linear(WIDTH, len(tokenizer), bias=False)
    losses = [
        plain.masked_language_loss(encoder, guess, tokenizer, ids["input_ids"], ids["attention_mask"]).item()
        for _ in range(20)
    ]
    assert losses == pytest.approx([math.log(13)] * 20)  # every piece is as likely as any other
    before = ids["input_ids"].expand(20, -1, -1)
    after = torch.stack(seen)
    special = before < 5
    assert torch.equal(after[special], before[special])
    words = ~special
    assert float((after == tokenizer.mask_token_id)[words].float().mean()) == pytest.approx(
        0.08 + 0.01 / 13, rel=0.1
    )
    other = (after != before) & (after != tokenizer.mask_token_id)
    assert float(other[words].float().mean()) == pytest.approx(0.01 * 11 / 13, rel=0.3)


def test_each_module_learns_from_its_own_loss_alone(plain: ModuleType) -> None:
    state = new_state(plain)
    encoder = copy.deepcopy(state.encoder)
    gaussian = [value.detach().clone().requires_grad_() for value in (state.mu, state.log_var, state.pi)]
    batch = state.tokenizer(TEXTS, padding=True, return_tensors="pt")
    x = plain.sentence_vectors(encoder, batch["input_ids"], batch["attention_mask"])
    fixed = x.detach()
    candidates = torch.cat([fixed, state.queue])
    allowed = torch.ones(len(x), len(candidates), dtype=torch.bool).fill_diagonal_(False)
    log_posterior = plain.plain_posterior(fixed, candidates, *gaussian)
    by_encoder = ((fixed @ candidates.T).unsqueeze(2) - state.typical).abs().argmin(dim=2)
    plain.ranking_info_nce(x @ candidates.T, log_posterior.argmax(dim=2), allowed, (0.05, 0.075, 0.1)).backward()
    plain.classifier_loss(log_posterior, by_encoder, allowed).backward()
    for parameters, optimiser in (
        (list(encoder.parameters()), torch.optim.AdamW(encoder.parameters(), lr=4e-5, eps=1e-6, weight_decay=0)),
        (gaussian, torch.optim.Adam(gaussian, lr=1e-3)),
    ):
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    plain.plain_step(state, TEXTS)
    for found, expected in zip(
        [*state.encoder.parameters(), state.mu, state.log_var, state.pi],
        [*encoder.parameters(), *gaussian],
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
