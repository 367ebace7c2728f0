"""An operator's shift: what is seen at a glance, by keyboard, by screen reader, and on a phone."""

from browser import SHOTS, fits, number, page, shot, wait

with page(1920, 1080) as view:
    wait(view, "['OK', 'NG'].includes(document.querySelector('#word').textContent)")
    # Verdict as word, colour and shape, and each its own.
    seen = {}
    for word in ["OK", "NG"]:
        wait(view, f"document.querySelector('#word').textContent === '{word}'")
        seen[word] = view.evaluate("""() => [getComputedStyle(document.querySelector('#verdict')).backgroundColor,
            document.querySelector('#shape-body').getAttribute('d'),
            parseFloat(getComputedStyle(document.querySelector('#word')).fontSize),
            document.querySelector('#word').textContent]""")
    (ok_colour, ok_shape, size, ok), (ng_colour, ng_shape, _, ng) = seen["OK"], seen["NG"]
    if ok == "OK" and ng == "NG":
        assert ok_colour != ng_colour and ok_shape != ng_shape, seen
    assert size >= 100, f"a word of {size} pixels is not read at three metres"

    # Counters go on and add up at every moment they are looked at together.
    before = number(view, "#total")
    wait(view, f"Number(document.querySelector('#total').textContent.replace(',', '')) >= {before + 3}")
    # A busy machine misses parts, so good and bad ones are waited for.
    wait(view, "['ok', 'ng'].every(id => Number(document.getElementById(id).textContent.replace(',', '')) > 0)")
    total, good, bad, error, missed = view.evaluate(
        "['total', 'ok', 'ng', 'error', 'missed'].map(id => Number(document.getElementById(id).textContent.replace(',', '')))")
    assert total == good + bad + error + missed, (total, good, bad, error, missed)
    wait(view, "Number(document.querySelector('#per-minute').textContent) > 0")
    assert view.locator("#yield").inner_text().endswith("%")
    assert view.locator("#recipe").inner_text() == "1 · gear tray"
    assert view.locator("#station").inner_text() == "trays, line 2"
    assert view.locator("#simulated").is_visible()

    # The live picture, with and without heat map, by key and by button.
    wait(view, "document.querySelector('#live').naturalWidth > 0")
    button = view.get_by_role("button", name="Heat map").first
    assert button.get_attribute("aria-pressed") == "true"
    view.keyboard.press("h")
    assert button.get_attribute("aria-pressed") == "false"
    wait(view, "document.querySelector('#live').src.includes('/plain')")
    button.click()
    wait(view, "document.querySelector('#live').src.includes('/heat')")

    # The strip: the newest reject by keyboard, its details, and back.
    wait(view, "document.querySelectorAll('#strip img').length >= 2")
    newest = view.locator("#strip button").first
    name = newest.get_attribute("aria-label")
    assert name.startswith("Part ") and "score" in name, name
    newest.focus()
    view.keyboard.press("Enter")
    dialog = view.get_by_role("dialog")
    dialog.wait_for()
    assert "rejected" in dialog.get_by_role("heading").inner_text()
    wait(view, "document.querySelector('#part-picture').naturalWidth > 0")
    assert "Threshold" in dialog.inner_text() and "Trigger to result" in dialog.inner_text()
    shot(view, "part.png")
    view.keyboard.press("Escape")
    dialog.wait_for(state="hidden")

    # Rejects in a row: one fault, one action, and RESET ends it.
    wait(view, "!document.querySelector('#fault').hidden && !document.querySelector('#reset').hidden")
    alert = view.get_by_role("alert").filter(visible=True)
    assert "Many rejects in a row" in alert.inner_text() and "RESET" in alert.inner_text(), alert.inner_text()
    shot(view, "fault.png")
    view.get_by_role("button", name="RESET").click()
    wait(view, "document.querySelector('#reset').hidden || document.querySelector('#fault').hidden")

    # What a screen reader finds.
    for role, label in [("meter", "Score against threshold"), ("region", "Newest part"), ("img", "Scores of the shift"),
                        ("region", "Last rejects"), ("navigation", "Views"), ("button", "Set-up")]:
        assert view.get_by_role(role, name=label).first.is_visible(), (role, label)
    tree = view.locator("body").aria_snapshot()
    assert "banner" in tree and "main" in tree, tree
    unnamed = view.evaluate("""() => [...document.querySelectorAll('button, input, img, canvas')].filter(e => e.checkVisibility()
        && !(e.getAttribute('aria-label') || e.alt || e.textContent.trim() || (e.labels && e.labels.length)
            || e.closest('[aria-label]'))).map(e => e.outerHTML)""")
    assert unnamed == [], unnamed
    fits(view)
    high = view.evaluate("document.documentElement.scrollHeight")
    assert high <= 1080, f"the page is {high} pixels high"
    if SHOTS:
        wait(view, "document.querySelector('#fault').hidden")
        shot(view, "operator.png")
    assert view.problems == [], view.problems

with page(390, 844, has_touch=True, is_mobile=True, device_scale_factor=2) as view:
    wait(view, "['OK', 'NG'].includes(document.querySelector('#word').textContent)")
    wait(view, "document.querySelector('#live').naturalWidth > 0")
    fits(view)
    low = view.evaluate("document.querySelector('#verdict').getBoundingClientRect().bottom")
    assert low < 844, "the verdict is seen without scrolling"
    small = view.evaluate("""() => [...document.querySelectorAll('button')].filter(e => e.checkVisibility())
        .map(e => [e.textContent.trim(), e.getBoundingClientRect().height]).filter(([, height]) => height < 44)""")
    assert small == [], f"too small for a finger: {small}"
    shot(view, "phone.png")
    view.locator("#strip button").first.tap()
    view.get_by_role("dialog").wait_for()
    fits(view)
    assert view.problems == [], view.problems
