"""The engine: the vectors of plain transformers code, whatever the batches, the order and the processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from xrete.devices import pick_device
from xrete.encoding.transformer import BATCH_COST, CPU_BATCH_TOKENS, TransformerEncoder, plan
from xrete.errors import UsageError

SENTENCES = [
    "The cat sleeps on the warm roof.",
    "Die Katze schläft auf dem warmen Dach, und der Hund bellt im Garten hinter dem alten Haus.",
    "Кошка спит на тёплой крыше.",
    "القطة تنام على السطح الدافئ.",
    "猫在温暖的屋顶上睡觉。",
    "고양이가 따뜻한 지붕 위에서 잔다.",
    "बिल्ली गर्म छत पर सो रही है।",
    "แมวนอนหลับอยู่บนหลังคา",
    "Η γάτα κοιμάται στη ζεστή στέγη.",
    "Yes.",
]
LONG = " ".join(SENTENCES * 3)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A Unigram tokenizer trained on the sentences themselves, with BERT's special tokens."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(SENTENCES, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    backend: Any = transformers.PreTrainedTokenizerFast
    return backend(tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def bert() -> Any:
    torch.manual_seed(0)
    config: Any = transformers.BertConfig(
        vocab_size=160, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    model: Any = transformers.BertModel(config)
    return model.eval()


def xlm() -> Any:
    torch.manual_seed(0)
    config = transformers.XLMConfig(
        vocab_size=160, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=128, pad_token_id=0
    )
    model: Any = transformers.XLMModel(config)
    return model.eval()


def engine(tokenizer: Any, **options: Any) -> TransformerEncoder:
    settings: dict[str, Any] = {"pooling": "mean", "device": "cpu", "max_length": 128, **options}
    return TransformerEncoder(bert(), tokenizer, **settings)


def one_by_one(model: Any, tokenizer: Any, pooling: str) -> NDArray[np.float32]:
    """Plain transformers code, a sentence at a time: no padding, no mask."""
    rows = []
    for text in SENTENCES:
        with torch.no_grad():
            output = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
        states = output.last_hidden_state[0]
        rows.append(
            states[0] if pooling == "cls" else states.mean(0) if pooling == "mean" else output.pooler_output[0]
        )
    return np.asarray(torch.stack(rows).numpy(), dtype=np.float32)


@pytest.mark.parametrize(
    ("make", "pooling"), [(bert, "cls"), (bert, "mean"), (bert, "pooler"), (xlm, "cls"), (xlm, "mean")]
)
def test_pools_as_plain_transformers_code_does(tokenizer: Any, make: Any, pooling: str) -> None:
    encoder = TransformerEncoder(make(), tokenizer, pooling=pooling, device="cpu", batch_tokens=100)
    vectors = encoder.encode(SENTENCES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, one_by_one(make(), tokenizer, pooling), atol=1e-5)


@pytest.mark.parametrize("budget", [1, 64, 300, 100_000])
def test_batches_and_order_do_not_matter(tokenizer: Any, budget: int) -> None:
    expected = engine(tokenizer).encode([*SENTENCES, LONG])
    order = np.random.default_rng(0).permutation(len(expected))
    shuffled = [[*SENTENCES, LONG][index] for index in order]
    vectors = engine(tokenizer, batch_tokens=budget).encode(shuffled)
    np.testing.assert_allclose(vectors, expected[order], atol=1e-5)


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(1, 500))
def test_plan_holds_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= budget
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in plan(lengths, budget)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(60, 200))
def test_plan_costs_the_least_of_all_ways_to_cut(lengths: list[int], budget: int) -> None:
    ordered = sorted(lengths, reverse=True)

    def least(start: int) -> float:
        """Tries every size of every batch."""
        if start == len(ordered):
            return 0
        most = max(1, budget // ordered[start])
        return min(
            (end - start) * ordered[start] + budget * BATCH_COST + least(end)
            for end in range(start + 1, min(start + most, len(ordered)) + 1)
        )

    batches = plan(lengths, budget)
    cost = sum(len(batch) * max(lengths[index] for index in batch) + budget * BATCH_COST for batch in batches)
    assert cost == pytest.approx(least(0))


def test_little_of_what_is_computed_is_padding() -> None:
    chance = np.random.default_rng(0)
    lengths = (3 + chance.gamma(4, 3, 1024)).astype(int).tolist()
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in plan(lengths, CPU_BATCH_TOKENS))
    assert sum(lengths) / padded >= 0.96


def test_no_texts_give_no_vectors(tokenizer: Any) -> None:
    encoder = engine(tokenizer)
    assert encoder.encode([]).shape == (0, 32)
    assert encoder.truncated([]).shape == (0,)
    assert np.isfinite(encoder.encode(["", " "])).all()


def test_truncation_keeps_the_special_tokens_and_is_said(tokenizer: Any) -> None:
    encoder = engine(tokenizer, max_length=12, prefix="The ")
    texts = ["Yes.", LONG]
    assert encoder.truncated(texts).tolist() == [False, True]
    short, long = encoder.token_ids(texts)
    assert short == tokenizer("The Yes.")["input_ids"]
    assert len(long) == 12
    assert (long[0], long[-1]) == (2, 3)
    assert long[:-1] == tokenizer(f"The {LONG}")["input_ids"][:11]


def test_the_same_list_is_tokenised_once(tokenizer: Any) -> None:
    class Spy:
        pad_token_id = tokenizer.pad_token_id

        def __call__(self, texts: list[str], **options: Any) -> Any:
            calls.extend(texts)
            return tokenizer(texts, **options)

    calls: list[str] = []
    encoder = engine(Spy())
    encoder.encode(SENTENCES)
    encoder.truncated(list(SENTENCES))
    assert len(calls) == len(SENTENCES)
    encoder.encode(SENTENCES[::-1])
    assert len(calls) == 2 * len(SENTENCES)


def test_progress_counts_every_text(tokenizer: Any) -> None:
    encoder = engine(tokenizer, batch_tokens=100)
    steps: list[int] = []
    encoder.on_progress = steps.append
    encoder.encode(SENTENCES)
    assert sum(steps) == len(SENTENCES)
    assert len(steps) > 1


def test_head_follows_the_pooling_in_float32(tokenizer: Any) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    torch.manual_seed(1)
    head = torch.nn.Sequential(Dense(32, 8), Normalize())
    vectors = engine(tokenizer, head=head, dtype="bfloat16").encode(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_bfloat16_is_close_and_changes_no_shape(tokenizer: Any) -> None:
    exact, rough = (engine(tokenizer, dtype=dtype).encode(SENTENCES) for dtype in ("float32", "bfloat16"))
    assert rough.dtype == np.float32
    cosines = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "best"}, "unknown pooling 'best'; use one of cls, mean, pooler"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"device": "quantum"}, "unknown device 'quantum'"),
        ({"device": "cuda:99"}, "CUDA devices here; use --device auto or cpu"),
    ],
)
def test_wrong_options_are_one_sentence(tokenizer: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engine(tokenizer, **options)


def test_cuda_without_cuda_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="torch sees 0 CUDA devices"):
        pick_device("cuda")
    assert pick_device("auto").type in ("cpu", "mps")


LAUNCHED = """
import atexit
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from xrete.encoding.workers import open_encoder, serve_workers
from xrete.model import LoadOptions
from xrete.models.transformer import EncodingRecipe, open_transformer

folder, texts, mode = Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8").split("\\n"), sys.argv[3]


def note_threads():
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads-{os.environ['RANK']}.txt").write_text(" ".join(names))


def broken(rank_fails):
    if int(os.environ["RANK"]) == rank_fails:
        raise ValueError("no memory on this rank")
    return build("cls")()


def build(pooling):
    recipe = EncodingRecipe(pooling=pooling, max_length=128)
    return partial(open_transformer, folder, recipe, LoadOptions(device="cpu"))


atexit.register(note_threads)  # the first to be registered is the last to be called
if serve_workers():
    sys.exit()
mean, cls = open_encoder(build("mean")), open_encoder(build("cls"))
done = []
mean.on_progress = done.append
vectors = mean.encode(texts)
if mode == "raise":
    raise RuntimeError("the first process fails")
try:
    open_encoder(partial(broken, 1)).encode(texts)
except ValueError as error:
    assert "no memory" in str(error)
else:
    raise AssertionError("a worker's error must reach the first process")
asked = mean.prompted("a ", {"document": "b "})
assert mean.processes == 2 and 0 < sum(done) <= len(texts)
np.savez(
    folder / "out.npz", mean=vectors, truncated=mean.truncated(texts), one=mean.encode(texts[:1]),
    none=mean.encode([]), cls=cls.encode(texts), again=mean.encode(texts),
    short=mean.limited(8).encode(texts), query=asked.for_role("query").encode(texts),
    document=asked.for_role("document").encode(texts), few=asked.shortened(4).encode(texts),
)
"""


def launch(folder: Path, mode: str) -> subprocess.CompletedProcess[str]:
    script, texts = folder / "launched.py", folder / "texts.txt"
    script.write_text(LAUNCHED, "utf-8")
    texts.write_text("\n".join([*SENTENCES, LONG]), "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, str(script), str(folder), str(texts), mode],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def saved(tokenizer: Any, tmp_path: Path) -> Path:
    bert().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_two_processes_give_the_vectors_of_one(tokenizer: Any, saved: Path) -> None:
    run = launch(saved, "work")
    assert run.returncode == 0, run.stderr
    out = np.load(saved / "out.npz")
    texts = [*SENTENCES, LONG]
    mean, cls = (engine(tokenizer, pooling=pooling) for pooling in ("mean", "cls"))
    np.testing.assert_allclose(out["mean"], mean.encode(texts), atol=1e-6)
    np.testing.assert_allclose(out["again"], out["mean"], atol=1e-6)
    np.testing.assert_allclose(out["cls"], cls.encode(texts), atol=1e-6)
    np.testing.assert_allclose(out["short"], engine(tokenizer, max_length=8).encode(texts), atol=1e-6)
    np.testing.assert_allclose(out["one"], mean.encode(texts[:1]), atol=1e-6)
    np.testing.assert_array_equal(out["truncated"], mean.truncated(texts))
    assert out["none"].shape == (0, 32)
    asked, told = (mean.encode([prompt + text for text in texts]) for prompt in ("a ", "b "))
    np.testing.assert_allclose(out["query"], asked, atol=1e-6)
    np.testing.assert_allclose(out["document"], told, atol=1e-6)
    np.testing.assert_allclose(out["few"], asked[:, :4], atol=1e-6)
    if sys.platform == "linux":  # a thread that outlives the interpreter may abort the process
        threads = [(saved / f"threads-{rank}.txt").read_text("utf-8") for rank in (0, 1)]
        assert all(threads)
        assert "gloo" not in " ".join(threads)


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_the_workers(saved: Path) -> None:
    run = launch(saved, "raise")  # a hang would run into the time limit
    assert run.returncode != 0
    assert "the first process fails" in run.stderr
