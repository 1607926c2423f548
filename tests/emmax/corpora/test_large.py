"""The pipelines of docs/large-corpora.md, run on real text, and what comes out of them as XRETE's sources."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from xrete.models.emmax.config import Config
from xrete.models.emmax.corpora import catalogues
from xrete.models.emmax.corpora.config import DataConfig
from xrete.models.emmax.corpora.prepare import prepare
from xrete.models.emmax.pretrain import pretrain

PAGE = Path(__file__).parents[3] / "docs" / "large-corpora.md"
LINES = 12
"""Sentences of a document."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("django") is None, reason="the text comes with the extra 'corpora'"),
]


def block(language: str) -> str:
    """Returns the page's first block of a language."""
    match = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    assert match
    return match[1]


def real_pairs() -> list[tuple[str, str]]:
    """Returns messages of Django with their translations into Swahili, on one line each."""
    (file,) = (file for code, file in catalogues.catalogues("django") if code == "sw" and "conf" in file.parts)
    rows = (row.texts for row in catalogues.messages(file) if not row.problem)
    return [(" ".join(source.split()), " ".join(target.split())) for source, target in rows]


@pytest.mark.skipif(find_spec("opusfilter") is None, reason="OpusFilter is not installed")
def test_opusfilter_cleans_a_bitext(tmp_path: Path) -> None:
    pairs = real_pairs()
    noise = [(pairs[0][0], "x" * 900), ("????? ????", pairs[1][1]), (pairs[2][1], pairs[2][0])]
    for side, language in enumerate(("en", "sw")):
        lines = [pair[side] for pair in (*pairs, *pairs[:20], *noise)]
        with gzip.open(tmp_path / f"CCMatrix.en-sw.{language}.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    (tmp_path / "clean.yaml").write_text(block("yaml"), "utf-8")
    script = Path(sys.executable).with_name("opusfilter")
    subprocess.run([script, "clean.yaml"], cwd=tmp_path, check=True, capture_output=True)
    source = {"kind": "moses", "source": f"{tmp_path}/clean/{{source}}-{{target}}.{{source}}.gz"}
    source["target"] = f"{tmp_path}/clean/{{source}}-{{target}}.{{target}}.gz"
    config = DataConfig.model_validate({"parallel": [source | {"pairs": ["en-sw"]}]})
    corpus = prepare(config, tmp_path / "corpora").parallel["en-sw"]
    kept = [pair for batch in corpus.batches() for pair in zip(*batch, strict=True)]
    assert 30 < len(kept) < len(pairs), len(kept)
    assert len(set(kept)) == len(kept)
    assert not {clean for clean in kept if clean in noise}


@pytest.mark.skipif(find_spec("datatrove") is None, reason="datatrove is not installed")
def test_minhash_removes_near_duplicates_and_feeds_pretraining(
    tmp_path: Path, configure: Callable[..., Config], console: Any
) -> None:
    sentences = [target for _, target in real_pairs()]
    documents = ["\n".join(sentences[at : at + LINES]) for at in range(0, len(sentences), LINES)]
    near = [f"{documents[3]}\nSentensi moja ya ziada.", documents[5].replace(" ya ", " za ", 1), documents[7]]
    crawl = tmp_path / "crawl" / "sw"
    crawl.mkdir(parents=True)
    rows = [json.dumps({"text": text, "id": str(number)}) for number, text in enumerate(documents + near)]
    (crawl / "a.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    script = tmp_path / "near_duplicates.py"
    script.write_text(block("python").replace("path/to", str(tmp_path)), "utf-8")
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, capture_output=True)
    files = sorted((tmp_path / "clean" / "sw").glob("*.jsonl.gz"))
    clean = [json.loads(line)["text"] for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert set(clean) <= {*documents, *near}
    assert len(documents) - 5 <= len(clean) <= len(documents)
    for one, other in zip((documents[3], documents[5], documents[7]), near, strict=True):
        assert sum(text in (one, other) for text in clean) == 1
    source = f'data.monolingual=[{{kind="hub", repo="{tmp_path}/clean/{{language}}", languages=["sw"]}}]'
    best = pretrain(configure(source), tmp_path / "run", console=console)
    card = json.loads((best / "model" / "training.json").read_text("utf-8"))
    report = card["corpora"]["monolingual"]["sw"]
    assert report["read"] == sum(text.count("\n") + 1 for text in clean)
    assert report["kept"] > 100
