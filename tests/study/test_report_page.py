"""The report in headless Chromium: no error in the console, every figure visible, a table that sorts, no overflow."""

import html
import json
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.page

# What the page is like is written into the document by a script that only the test adds.
PROBE = """
<script>
addEventListener("load", () => {
  const names = () => [...document.querySelectorAll("#results tbody th")].map((cell) => cell.textContent.trim());
  const orders = () => [...document.querySelectorAll("#results thead th")].map((cell) => cell.ariaSort);
  const click = (column) => {
    document.querySelectorAll("#results thead button")[column].click();
    return [names(), orders()[column]];
  };
  const boxes = [...document.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect());
  const texts = [...document.querySelectorAll("figure svg text")].map((text) => text.getBoundingClientRect());
  const root = document.documentElement;
  const report = {
    width: root.clientWidth,
    overflow: root.scrollWidth - root.clientWidth,
    figures: boxes.map((box) => [box.width, box.height]),
    drawn: [...document.querySelectorAll("figure svg")].map((svg) => svg.querySelectorAll("path, use").length),
    text_ends: Math.max(...texts.map((box) => box.right)),
    smallest_text: Math.min(...texts.map((box) => box.height)),
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.querySelector("#figure-accuracy text")).fill,
    before: names(),
    clicks: [click(1), click(1), click(0), click(3)],
  };
  const place = (window.parent === window ? document : window.parent.document).createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify(report);
  (window.parent === window ? document : window.parent.document).body.append(place);
});
</script>
"""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 22, 26)"


@pytest.fixture
def page(reported):
    return (reported / "report.html").read_text()


@pytest.mark.parametrize("width", [1280, 375])
def test_the_page_works_on_laptop_and_phone(page, tmp_path, width):
    document, console = load(tmp_path, framed(page + PROBE, width))
    seen = probe(document)
    assert console == []
    assert abs(seen["width"] - width) <= 16  # a scroll bar
    assert seen["overflow"] == 0
    assert len(seen["figures"]) == 4
    for box, drawn in zip(seen["figures"], seen["drawn"], strict=True):
        assert box[0] > 200 and box[1] > 100
        assert drawn > 20
    assert seen["text_ends"] <= seen["width"]
    assert seen["smallest_text"] >= 9


def test_the_table_sorts(page, tmp_path):
    seen = probe(load(tmp_path, page + PROBE)[0])
    assert seen["before"] == ["SGD", "SAM", "ASAM", "GSAM", "OBF"]
    falling, rising, by_name, by_difference = seen["clicks"]
    assert falling == [["ASAM", "SAM", "GSAM", "OBF", "SGD"], "descending"]
    assert rising == [["SGD", "OBF", "GSAM", "SAM", "ASAM"], "ascending"]
    assert by_name == [["ASAM", "GSAM", "OBF", "SAM", "SGD"], "ascending"]
    assert by_difference == [["ASAM", "SAM", "GSAM", "OBF", "SGD"], "descending"]


@pytest.mark.parametrize(("scheme", "ground"), [("1", LIGHT), ("0", DARK)])
def test_it_follows_light_and_dark(page, tmp_path, scheme, ground):
    seen = probe(load(tmp_path, page + PROBE, f"--blink-settings=preferredColorScheme={scheme}")[0])
    assert seen["ground"] == ground
    assert seen["ink"] != ground


def test_the_test_sees_errors_and_refused_requests(page, tmp_path):
    broken = "<script>undefinedName();</script><img src='https://example.org/x.png'>"
    _, console = load(tmp_path, page + broken)
    assert any("undefinedName is not defined" in line for line in console)
    assert any("Content Security Policy" in line for line in console)


def framed(page, width):
    """A document that shows the page in a frame of this width: windows have a least width, frames do not."""
    return (
        "<!doctype html><body style='margin: 0'><iframe style='border: 0; height: 900px; "
        f'width: {width}px\' srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )


def probe(document):
    found = re.search(r'<pre id="probe">(.*?)</pre>', document, re.DOTALL)
    assert found, "the page's scripts did not run to their end"
    return json.loads(html.unescape(found[1]))


def load(directory, page, *options):
    """The document after its scripts, and what they wrote to the console."""
    chromium = shutil.which("chromium")
    assert chromium, "the page cannot be looked at without Chromium: run scripts/setup-system"
    path = directory / "page.html"
    path.write_text(page)
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={directory / 'profile'}", "--enable-logging=stderr", "--v=0", "--window-size=1300,900",
            *options, "--dump-dom", f"file://{path}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
