"""The coder's page in a real browser: it needs no network, keeps progress, and runs nothing that an answer says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serxbench.emotions import EMOTIONS
from serxbench.stages.audit_page import page, write_page
from serxbench.stages.audit_readings import TEXT_STATUSES
from serxbench.stages.audit_rules import ANSWERS, WORDS
from serxbench.stages.audit_sheets import Item, read_coding

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "{{STYLE_HASH}} <!-- ]]> & \u2028 \u202e ${1} {{DATA}}",
    "=HYPERLINK(\"http://x\") <a href='javascript:0'>sad</a>",
    "(A)",
)
ITEMS = [
    Item(item=f"item{n}", answer=answer, options=[("A", "Angry"), ("B", "<b>Other</b>")] if n == 3 else None)
    for n, answer in enumerate(HOSTILE)
]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-headless-shell", "google-chrome"))), None)


def test_codes_are_those_of_the_sheet_and_every_key_is_one_of_its_own() -> None:
    assert WORDS.names == (*EMOTIONS, "Other")
    assert ANSWERS.names == (*WORDS.names, *TEXT_STATUSES)
    assert len({key for _, key, _ in ANSWERS.codes} | {"u"}) == len(ANSWERS.codes) + 1


def test_no_answer_ends_the_data() -> None:
    text = page(ITEMS, ANSWERS, sample="s", coder="coder1")
    data = text.split('<script id="data" type="application/json">')[1].split("</script>")[0]
    assert [each["answer"] for each in json.loads(data)["items"]] == list(HOSTILE)
    assert text.count("<script") == 2
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "").split('<script id="data"')[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page, opened from its file, and everything that it asked for or complained of."""
    write_page(tmp_path / "coder1.html", ITEMS, ANSWERS, sample="s", coder="coder1")
    tab = browser.new_page()
    tab.asked, tab.said = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.goto((tmp_path / "coder1.html").as_uri())
    yield tab
    tab.close()


def test_answers_are_text_and_nothing_else_is_loaded(opened: Any) -> None:
    for answer in HOSTILE:
        assert opened.locator("#answer").text_content() == answer
        assert opened.locator("#answer *").count() == 0
        opened.keyboard.press("ArrowRight")
    assert "(A) Angry  (B) <b>Other</b>" in opened.locator("#options").text_content()
    assert opened.title() == "Coding answers"
    assert len(opened.asked) == 1
    assert opened.said == []


def test_the_policy_runs_no_script_that_is_put_into_the_page(opened: Any) -> None:
    opened.evaluate("""() => {
        const late = document.createElement('div');
        late.innerHTML = '<img src="x" onerror="document.title = 1">';
        document.body.append(late);
        const script = document.createElement('script');
        script.textContent = 'document.title = 2';
        document.body.append(script);
    }""")
    opened.wait_for_timeout(200)
    assert opened.title() == "Coding answers"
    assert any("Content Security Policy" in line for line in opened.said)


def test_coding_by_keyboard_survives_closing_and_is_exported(opened: Any, tmp_path: Path) -> None:
    for key in ("2", "r"):
        opened.keyboard.press(key)
    assert opened.locator("#count").text_content() == "Answer 3 of 4; 2 coded"
    opened.locator("#note").fill("=r unsure")
    opened.reload()
    assert opened.locator("#count").text_content() == "Answer 3 of 4; 2 coded"
    assert opened.locator("#note").input_value() == "=r unsure"
    opened.keyboard.press("9")
    opened.keyboard.press("ArrowLeft")
    assert opened.locator('[aria-pressed="true"]').get_attribute("data-code") == "Other"
    opened.keyboard.press("u")
    opened.get_by_role("button", name="angry, annoyed").click()
    opened.keyboard.press("u")
    assert "All answers have a code" in opened.locator("#warning").text_content()
    wanted = {"item0": "Sad", "item1": "refused", "item2": "Other", "item3": "Angry"}
    for kind in ("csv", "json"):
        with opened.expect_download() as download:
            opened.locator(f"#{kind}").click()
        assert download.value.suggested_filename == f"coder1.{kind}"
        path = tmp_path / f"out.{kind}"
        download.value.save_as(path)
        assert read_coding(path, wanted, "s", ANSWERS).labels == wanted
    assert '"item2","Other","\'=r unsure"' in (tmp_path / "out.csv").read_text(encoding="utf-8-sig")


def test_a_letter_in_the_note_codes_nothing(opened: Any) -> None:
    opened.locator("#note").press_sequentially("rte 1")
    assert opened.locator("#count").text_content() == "Answer 1 of 4; 0 coded"
