"""A real browser: headless Chromium opens pages from disk, under their own policy.

Chromium is Debian's `chromium-headless-shell`, or any Chromium or Chrome on the path.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 900}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for the tests of one file: while it is open, its event loop is the only one that may run."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium-headless-shell")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=chromium)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page; whatever it logs, throws or fetches beside itself fails the test."""
    contexts, said, opened, fetched = [], [], [], []

    def open_(folder: Path, *, hash_: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce"} | options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: fetched.append(request.url.partition("#")[0]))
        opened.append(f"file://{folder}/index.html")
        page.goto(f"{opened[-1]}{hash_}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert fetched == opened


@pytest.fixture
def violations() -> Callable[..., list[tuple[str, str, str]]]:
    """Takes what axe has against a page, opened with its policy switched off, or axe could not be put into it.

    In dark colours it looks at contrast alone: a theme changes colours, and the other rules look at none. It looks
    within an element where one is named, such as what was opened since it saw the whole page.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

    def look(page: Any, scheme: str = "light", within: str | None = None) -> list[tuple[str, str, str]]:
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if scheme == "dark":
            options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
        faults = axe.Axe().run(page, context=within, options=options).response["violations"]
        return [(x["id"], x["impact"], x["nodes"][0]["html"]) for x in faults]

    return look


@pytest.fixture
def processor_seconds() -> Callable[[Any, Callable[[], Any]], float]:
    """Takes processor seconds of a page's own thread for an action: a busy machine is no failure."""
    sessions: dict[Any, Any] = {}

    def clock(page: Any) -> float:
        if page not in sessions:
            sessions[page] = page.context.new_cdp_session(page)
            sessions[page].send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
            sessions[page].send("Performance.enable")
        metrics = sessions[page].send("Performance.getMetrics")["metrics"]
        return float(next(x["value"] for x in metrics if x["name"] == "ThreadTime"))

    def seconds(page: Any, action: Callable[[], Any]) -> float:
        before = clock(page)
        action()
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
        return clock(page) - before

    return seconds
