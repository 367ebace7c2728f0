"""A page of the box in headless Chromium."""

import os
import sys
import time
from contextlib import contextmanager
from playwright.sync_api import sync_playwright

URL, PASSWORD, FOLDER = sys.argv[1:4]
SHOTS = os.environ.get("MUDENET_SHOTS")
# Generous: the machine may be busy, and nothing here is about speed.
PATIENCE = 60_000


@contextmanager
def page(width, height, **options):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
                                             args=["--no-sandbox"])
        view = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
        view.set_default_timeout(PATIENCE)
        problems = []
        # What the policy blocks and what a script throws both end here.
        view.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        view.on("pageerror", lambda error: problems.append(str(error)))
        view.on("request", lambda request: problems.append(f"asks {request.url}")
                if not request.url.startswith((URL, "blob:")) else None)
        view.problems = problems
        view.goto(URL)
        yield view
        browser.close()


def wait(view, what):
    """Until `what` holds. Playwright's own wait would need eval, which the page's policy forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not view.evaluate(what):
        if time.monotonic() > end:
            raise AssertionError(f"still not: {what}\n{view.locator('body').inner_text()}")
        view.wait_for_timeout(40)


def shot(view, name):
    if SHOTS:
        view.screenshot(path=os.path.join(SHOTS, name))


def number(view, place):
    return int(view.locator(place).inner_text().replace(",", ""))


def fits(view):
    """Nothing reaches beyond the screen's right edge."""
    wide, screen = view.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= screen, f"{wide} pixels on a screen of {screen}"
