"""The report in headless Chromium: no error in the console, every figure visible and legible, tables that sort."""

import html
import json
import re
import shutil
import subprocess

import pytest

from samnesia.study import report
from samnesia.study.judging.verdicts import judge
from tests.study import synthetic

pytestmark = pytest.mark.page

# What the page is like is written into the document by a script that only the test adds.
PROBE = """
<script>
addEventListener("load", () => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const box = (element) => element.getBoundingClientRect();
  const tables = all("table.sortable");
  const main = tables[tables.length - 1];
  const column = (place) => all("tbody tr", main).map((row) => row.cells[place].innerText.split("\\n")[0].trim());
  const click = (place) => {
    const heading = main.tHead.rows[0].cells[place];
    heading.querySelector("button").click();
    return [column(place), heading.ariaSort];
  };
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const most = colour.includes("srgb") ? 1 : 255;
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((part) => channel(part / most));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = getComputedStyle(document.body).backgroundColor;
  const contrast = (colour) => {
    const [one, other] = [light(colour), light(ground)].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  };
  const aside = (one, other) => one.right - 1 <= other.left || one.bottom - 2 <= other.top;
  const apart = (one, other) => aside(one, other) || aside(other, one);
  const overlaps = [];
  for (const svg of all("figure svg")) {
    const texts = all("text", svg).map((text) => [text.textContent, box(text)]);
    texts.forEach(([one, first], place) => {
      for (const [other, second] of texts.slice(place + 1))
        if (!apart(first, second)) overlaps.push([svg.id, one, other]);
    });
  }
  const texts = all("figure svg text");
  const root = document.documentElement;
  const report = {
    width: root.clientWidth,
    overflow: root.scrollWidth - root.clientWidth,
    plates: all(".plate svg").map((svg) => [box(svg).width, box(svg).height]),
    strips: all(".verdict svg").map((svg) => [box(svg).width, box(svg).height]),
    drawn: all("figure svg").map((svg) => all("path, use", svg).length),
    text_ends: Math.max(...texts.map((text) => box(text).right)),
    smallest_text: Math.min(...texts.map((text) => box(text).height)),
    overlaps,
    ground,
    least_contrast_of_figures: Math.min(...texts.map((text) => contrast(getComputedStyle(text).fill))),
    least_contrast_of_text: Math.min(
      ...all("h1, h2, p, li, td, th, dt, dd, figcaption, a, summary, .ruling, .ends, .unit")
        .filter((element) => element.innerText)
        .map((element) => contrast(getComputedStyle(element).color)),
    ),
    before: column(0),
    clicks: [click(%(numbers)d), click(%(numbers)d), click(0)],
    sorted: all('th[aria-sort="ascending"], th[aria-sort="descending"]', main).length,
  };
  if (%(keyboard)d) {
    main.tHead.rows[0].cells[0].querySelector("button").focus();
    report.focused = document.activeElement.tagName;
  }
  const place = (window.parent === window ? document : window.parent.document).createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify(report);
  (window.parent === window ? document : window.parent.document).body.append(place);
});
</script>
"""
SCHEMES = {"light": ("1", "rgb(255, 255, 255)"), "dark": ("0", "rgb(21, 22, 26)")}
# Fixture, its plates' panels and verdicts, and the column of numbers that the test sorts by.
PAGES = {"compared": (6, 0, 1), "studied": (18, 9, 2), "correlated": (19, 3, 2)}
SEEN = [
    ("compared", 1280, "light"), ("compared", 375, "dark"), ("studied", 1280, "dark"), ("studied", 375, "light"),
    ("correlated", 1280, "light"), ("correlated", 375, "dark"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "width", "scheme"), SEEN)
def test_the_page_works_on_laptop_and_phone_in_light_and_dark(name, width, scheme, request, tmp_path):
    page = (request.getfixturevalue(name) / "report.html").read_text()
    panels, verdicts, numbers = PAGES[name]
    setting, ground = SCHEMES[scheme]
    seen, console = look(tmp_path, page, numbers, width, setting)
    assert console == []
    assert abs(seen["width"] - width) <= 16  # a scroll bar
    assert seen["overflow"] == 0
    assert (len(seen["plates"]), len(seen["strips"])) == (panels, verdicts)
    assert all(box[0] > 200 and box[1] > 90 for box in seen["plates"])
    assert all(box[0] > 200 and box[1] > 15 for box in seen["strips"])
    assert min(seen["drawn"]) > 5
    assert seen["text_ends"] <= seen["width"]
    assert seen["smallest_text"] >= 9
    assert seen["overlaps"] == []
    assert seen["ground"] == ground
    assert seen["least_contrast_of_text"] >= 4.5
    assert seen["least_contrast_of_figures"] >= (4.5 if scheme == "dark" else 3.0)
    assert seen["focused"] == "BUTTON"
    check_order(seen)


def check_order(seen):
    def value(text):
        return float(re.sub(r"[^\d.-]", "", text.replace("\N{MINUS SIGN}", "-")))

    (falling, first), (rising, second), (names, third) = seen["clicks"]
    assert (first, second, third, seen["sorted"]) == ("descending", "ascending", "ascending", 1)
    known = [value(text) for text in falling if text != "\N{EN DASH}"]
    assert known == sorted(known, reverse=True) and len(set(known)) > 1
    known = [value(text) for text in rising if text != "\N{EN DASH}"]
    assert known == sorted(known)
    assert names == sorted(names, key=str.lower) and names != seen["before"]


@pytest.mark.slow
@pytest.mark.parametrize(("contexts", "arms", "seeds"), [(5, 8, 10), (10, 6, 10)])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "1"), (375, "0")])
def test_a_large_study_stays_legible(contexts, arms, seeds, width, scheme, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_write_files", lambda *files: None)
    results = synthetic.problems(tmp_path, contexts=contexts, arms=arms, seeds=seeds)
    report.write_report_of(results, judge(results.design, results.table))
    seen, console = look(tmp_path, (tmp_path / "report.html").read_text(), 2, width, scheme)
    assert console == [] and seen["overlaps"] == [] and seen["overflow"] == 0
    assert seen["text_ends"] <= seen["width"]
    assert seen["smallest_text"] >= 9
    assert all(box[0] > 200 and box[1] > 90 for box in seen["plates"])
    check_order(seen)


def test_rows_without_a_number_stay_at_the_end(compared, tmp_path):
    page = (compared / "report.html").read_text()
    seen, _ = look(tmp_path, page, 3, 1280, "1")  # differences: the baseline has none
    (falling, _), (rising, _), _ = seen["clicks"]
    assert falling[-1] == rising[-1] == "\N{EN DASH}"
    assert seen["before"] == ["SGD", "SAM", "ASAM", "GSAM", "OBF"]


def test_the_test_sees_errors_refused_requests_and_labels_over_each_other(tmp_path):
    broken = (
        "<!doctype html><meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; script-src "
        "'unsafe-inline'; style-src 'unsafe-inline'\"><table class='sortable'><thead><tr><th><button>a</button></th>"
        "</tr></thead><tbody></tbody></table><figure class='plate'><svg id='x'><text y='20'>one</text>"
        "<text y='22' x='5'>two</text></svg></figure><script>undefinedName();</script>"
        "<img src='https://example.org/x.png'>"
    )
    seen, console = look(tmp_path, broken, 0, 375, "1")
    assert any("undefinedName is not defined" in line for line in console)
    assert any("Content Security Policy" in line for line in console)
    assert seen["overlaps"] == [["x", "one", "two"]]


def look(directory, page, numbers, width, scheme):
    """What the probe has found on the page in a frame of this width, and what was written to the console."""
    whole = page + PROBE % {"numbers": numbers, "keyboard": 1}
    document, console = load(directory, framed(whole, width), f"--blink-settings=preferredColorScheme={scheme}")
    found = re.search(r'<pre id="probe">(.*?)</pre>', document, re.DOTALL)
    assert found, f"the page's scripts did not run to their end: {console}"
    return json.loads(html.unescape(found[1])), console


def framed(page, width):
    """A document that shows the page in a frame of this width: windows have a least width, frames do not."""
    return (
        "<!doctype html><body style='margin: 0'><iframe style='border: 0; height: 900px; "
        f'width: {width}px\' srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )


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
