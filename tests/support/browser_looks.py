"""Chromium that looks at pages as everybody does: both colour schemes, wide and narrow, with axe-core."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.dashboard_server import browser_path

sync_api = pytest.importorskip("playwright.sync_api")

AXE = (Path(__file__).parent / "axe.min.js").read_text()
SHOTS = os.environ.get("SCREENSHOTS")
LOOKS = [
    ("light", 1280),
    ("dark", 390),
    pytest.param("dark", 1280, marks=pytest.mark.slow),
    pytest.param("light", 390, marks=pytest.mark.slow),
]


def apart(work):
    """Run a coroutine in a thread of its own: the browser's driver has a loop in this one."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextmanager
def running_browser():
    """Start a browser for as long as the context lasts."""
    path = browser_path()
    with sync_api.sync_playwright() as playwright:
        # Its sandbox needs rights that a container's root lacks; it sees no other pages than ours.
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield running
        running.close()


def watched(page, address):
    """Collect what must not be: errors on the console, and requests that lead elsewhere."""
    found = []
    page.on("console", lambda said: found.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith((f"{address}/", "data:")) else found.append(one.url))
    return found


def violations(page):
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]


def until_drawn(page):
    page.wait_for_function("[...document.querySelectorAll('[data-chart]')].every(box => 'drawn' in box.dataset)")


def look(browser, address, paths, scheme, width, kind):
    """Open pages; return what is wrong with them."""
    problems = []
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    ) as context:
        page = context.new_page()
        found = watched(page, address)
        for name, path in paths.items():
            found.clear()
            page.goto(address + path)
            until_drawn(page)
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/{name}-{kind}-{scheme}-{width}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            problems += [(name, f"{wide} px wide")] * (wide > width)
            # That there is no such page is an error for the console too.
            problems += [(name, said) for said in found if "the server responded with a status of" not in said]
            problems += [(name, *violation) for violation in violations(page)]
    return problems
