"""The leaderboard as one page: no server, no remote file, opens from disk.

`content` says what the page knows, the other files of this folder are the page. Its policy lets nothing run but the
script that was written with it, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from xrete.errors import XreteError
from xrete.files import write_text
from xrete.reporting.collect import Entry
from xrete.reporting.page.content import content
from xrete.reporting.page.pictures import read_pictures
from xrete.reporting.tables.views import Request

SCRIPTS = (
    *("base", "known", "state", "reading", "answer", "ask", "filters", "overall", "table"),
    *("detail", "language", "model", "heat", "plot", "charts", "spaces", "main"),
)
"""In the order of their use; together they are one script."""

_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def write(entries: Sequence[Entry], request: Request, folder: Path, sources: Sequence[Path]) -> Iterator[Path]:
    """Writes `index.html` into a folder, and yields it.

    Args:
        entries: The records.
        request: Which of them, and what was published beside them.
        folder: Where the page goes.
        sources: Results folders, where pictures are looked for.

    Raises:
        XreteError: nothing passes the request, or the paper's rows would stand beside the mini sample.
    """
    narrowed = request.narrowed(entries)
    if (request.with_paper or request.publications) and narrowed.kind == "mini":
        raise XreteError(
            "published numbers (the paper's numbers too) cannot stand beside the mini sample; leave out --reference"
        )
    models = {(entry.record.model.name, entry.record.model.revision) for entry in narrowed.entries}
    pictures = [
        picture
        for picture in read_pictures(sources)
        if picture.model in models and picture.is_mini == (narrowed.kind == "mini")
    ]
    path = folder / "index.html"
    known = content(narrowed, pictures, with_paper=request.with_paper, publications=request.publications)
    write_text(path, to_html(known))
    yield path


def to_html(known: dict[str, Any]) -> str:
    """Renders the page.

    Args:
        known: What `content` returns.
    """
    script = "\n".join(['"use strict";', "{", *(_part(f"{name}.js") for name in SCRIPTS), "}"])
    style = _part("style.css")
    policy = {
        "default-src": "'none'",
        "script-src": _hashed(script),
        "style-src": _hashed(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    environment = Environment(autoescape=True, keep_trailing_newline=True)
    return environment.from_string(_part("shell.html.j2")).render(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_embedded(known)),
        content=known,
    )


def _part(name: str) -> str:
    return package_files(__package__).joinpath(name).read_text("utf-8")


def _hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embedded(known: dict[str, Any]) -> str:
    """Writes JSON that cannot end its script element, whatever it holds."""
    text = json.dumps(known, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)
