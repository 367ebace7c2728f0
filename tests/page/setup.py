"""An engineer's set-up: threshold, recipe, golden samples."""

import os
import shutil
from browser import FOLDER, PASSWORD, fits, page, shot, wait

with page(1920, 1080) as view:
    wait(view, "['OK', 'NG'].includes(document.querySelector('#word').textContent)")
    view.get_by_role("button", name="Set-up").click()
    dialog = view.get_by_role("dialog")
    dialog.get_by_label("Name").fill("anna")
    dialog.get_by_label("Password").fill("not the password")
    view.keyboard.press("Enter")
    wait(view, "document.querySelector('#login-error').textContent === 'name or password is wrong'")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Log in").click()
    dialog.wait_for(state="hidden")
    wait(view, "document.querySelector('#who').textContent === 'anna'")

    # The threshold by slider and keyboard; what would have changed is what the scores say.
    view.get_by_role("tab", name="Threshold").wait_for()
    slider = view.get_by_label("New threshold")
    wait(view, "document.querySelector('#tried').textContent.startsWith('What would have changed in the last')")
    assert view.get_by_role("button", name="Use this threshold").is_disabled()
    now = float(view.locator("#exact").input_value())
    slider.focus()
    for _ in range(3):
        view.keyboard.press("ArrowRight")
    assert float(view.locator("#exact").input_value()) != now
    parts = view.evaluate("fetch('/api/scores').then(answer => answer.json())")["parts"]
    assert len(parts) >= 5
    accepted = sorted(score for score, verdict in parts if verdict == "accept")
    low = (accepted[0] + accepted[-1]) / 2
    view.reload()
    view.get_by_role("button", name="Set-up").click()
    wait(view, "document.querySelector('#tried').textContent.startsWith('What would have changed in the last')")
    view.locator("#exact").fill(str(low))
    shown = view.evaluate("parts.map(part => part.slice())")
    to_reject = sum(verdict == "accept" and score > low for score, verdict in shown)
    assert to_reject > 0 and int(view.locator("#to-reject").inner_text()) == to_reject
    assert int(view.locator("#to-accept").inner_text()) == 0
    new = round(now * 1.05, 4)
    view.locator("#exact").fill(str(new))
    fits(view)
    shot(view, "threshold.png")
    view.get_by_role("button", name="Use this threshold").click()
    wait(view, "document.querySelector('#said').textContent.startsWith('The threshold is now')")
    wait(view, f"Math.abs(state.product.threshold - {new}) < 1e-4")

    # Region and mask: by mouse, by numbers, kept, and taken back.
    view.get_by_role("tab", name="Region and mask").click()
    wait(view, "editor.picture && editor.picture.naturalWidth > 0 && document.querySelector('#drawing').clientHeight > 100")
    width, height = view.evaluate("[editor.size.width, editor.size.height]")

    def drag(x0, y0, x1, y1):
        view.locator("#drawing").scroll_into_view_if_needed()
        box = view.locator("#drawing").bounding_box()
        at = lambda x, y: (box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height)
        view.mouse.move(*at(x0, y0))
        view.mouse.down()
        view.mouse.move(*at((x0 + x1) / 2, (y0 + y1) / 2))
        view.mouse.move(*at(x1, y1))
        view.mouse.up()

    view.get_by_role("radio", name="ignores").check()
    drag(3 * width / 4, 3 * height / 4, width, height)
    share = view.evaluate("blindShare()")
    assert 0.04 < share < 0.09, share
    for name, value in [("left", 0), ("top", 0), ("width", width), ("height", 20)]:
        view.locator(f"#box-{name}").fill(str(value))
    view.get_by_role("button", name="Ignore this").click()
    more = view.evaluate("blindShare()")
    assert abs(more - share - 20 / height) < 0.01, (share, more)
    shot(view, "region.png")
    view.get_by_role("button", name="Use region and mask").click()
    wait(view, "document.querySelector('#said').textContent.startsWith('Region and mask are in use')")
    view.get_by_role("tab", name="Log").click()
    view.get_by_role("tab", name="Region and mask").click()
    wait(view, f"Math.abs(blindShare() - {more}) < 0.002")
    view.get_by_role("button", name="Ignore nothing").click()
    view.get_by_role("button", name="Use region and mask").click()
    wait(view, "document.querySelector('#said').textContent.startsWith('Region and mask are in use')")

    # A mask that hides what a golden sample must be rejected for is refused, and nothing is changed.
    drag(1, 1, width - 1, 0.93 * height)
    view.get_by_role("button", name="Use region and mask").click()
    wait(view, "document.querySelector('#said').textContent.includes('missing.png: expected reject, got accept')")

    # Calibration looks at the record and changes nothing by itself.
    view.get_by_role("tab", name="Calibration").click()
    view.get_by_role("button", name="Calculate").click()
    wait(view, "document.querySelector('#said').textContent.includes('more are needed (299 in all)')")

    # Golden samples, by keyboard from tab to tab.
    view.get_by_role("tab", name="Threshold").click()
    view.keyboard.press("ArrowRight")
    view.keyboard.press("ArrowRight")
    assert view.get_by_role("tab", name="Golden samples").get_attribute("aria-selected") == "true"
    view.get_by_role("button", name="Test now").click()
    wait(view, "document.querySelector('#golden-result').textContent.startsWith('PASSED: 2 of 2')")

    # The log shows who changed what, and that the chain holds.
    view.get_by_role("tab", name="Log").click()
    wait(view, "document.querySelector('#changes-log').tBodies[0].rows.length >= 3")
    wait(view, "document.querySelector('#chain').textContent.startsWith('The chain holds.')")
    rows = [[cell for cell in row.split("\t")] for row in view.locator("#changes-log tbody").inner_text().split("\n")]
    assert rows[-1][1:3] == ["anna", "threshold of recipe 1"] and rows[-1][4] == str(new), rows
    wait(view, "document.querySelector('#notices').textContent.includes('logged in')")
    shot(view, "log.png")

    # Another recipe.
    view.get_by_role("tab", name="Recipe").click()
    view.get_by_role("radio", name="2 · gear tray, trial").check()
    view.get_by_role("button", name="Use this recipe").click()
    wait(view, "document.querySelector('#said').textContent === 'Recipe 2 is in use.'")
    wait(view, "document.querySelector('#recipe').textContent === '2 · gear tray, trial'")

    # Golden samples that are judged wrong stop the line until they are judged right: RESET tests again, and says so.
    shutil.copy(os.path.join(FOLDER, "golden/good/good.png"), os.path.join(FOLDER, "golden/bad/passes.png"))
    view.get_by_role("tab", name="Golden samples").click()
    view.get_by_role("button", name="Test now").click()
    wait(view, "document.querySelector('#golden-result').textContent.startsWith('FAILED: 2 of 3')")
    shot(view, "golden.png")
    view.get_by_role("button", name="Line").click()
    wait(view, "document.querySelector('#word').textContent === 'STOPPED'")
    shot(view, "stopped.png")
    for _ in range(2):
        view.get_by_role("button", name="RESET").click()
        view.wait_for_timeout(2500)
        wait(view, "document.querySelector('#word').textContent === 'STOPPED'")
    os.remove(os.path.join(FOLDER, "golden/bad/passes.png"))
    view.get_by_role("button", name="RESET").click()
    wait(view, "['OK', 'NG'].includes(document.querySelector('#word').textContent)")

    # A session that ended asks for the password again.
    view.get_by_role("button", name="Set-up").click()
    view.get_by_role("button", name="Log out").click()
    view.get_by_role("button", name="Set-up").click()
    dialog.wait_for()
    refused = [problem for problem in view.problems if "401" not in problem and "422" not in problem]
    assert refused == [], refused
