"""The report in a real browser: what a reader sees, sorts, filters and prints.

browser_test.py WRITE_SAMPLE_REPORT FOLDER

Pages: a run of the embedded demo with a short sweep, and the sample report with 27 blocks, 108 sites.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.parse

import chromium

MAX_PAGE_BYTES = 5_000_000
MIN_CONTRAST = 4.5  # WCAG 2.1, 1.4.3

# [ratio, text] of the text with the least contrast. Backgrounds here are opaque or absent.
LEAST_CONTRAST = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const seen = new Map();
  let least = [21, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const paper = behind(element);
    const key = ink + paper;
    if (!seen.has(key)) {
      const [a, b] = [light(parse(ink)), light(paper)];
      seen.set(key, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    if (seen.get(key) < least[0]) least = [seen.get(key), node.data.trim().slice(0, 60)];
  }
  return least;
})()"""

OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
COLUMN = """[...document.querySelectorAll('#site-table tbody tr')].filter(r => !r.hidden)
    .map(r => r.cells[{}].textContent)"""


def check_quiet(browser, page):
    """No error, and no request but for the page and the pictures inside it."""
    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        assert method != "Runtime.exceptionThrown", params
        if method == "Log.entryAdded":
            assert params["entry"]["level"] != "error", params
        if method == "Runtime.consoleAPICalled":
            assert params["type"] not in ("error", "warning"), params
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            own = urllib.parse.unquote(url) == f"file://{page}"
            assert own or url.startswith("data:"), f"fetches {url[:200]}"


def check_first_screen(browser):
    browser.size(1280, 720)
    for part in (".verdict", "#arm-table", "#guilty-table"):
        bottom = browser.evaluate(f"document.querySelector('{part}').getBoundingClientRect().bottom")
        assert 0 < bottom <= 720, f"{part} ends at {bottom}"
    times = browser.evaluate("[...document.querySelectorAll('td[data-latency]')]"
                             ".map(cell => cell.textContent)")
    assert times and all(float(time) > 0 for time in times if time != "see below"), times


def check_sorting(browser):
    browser.evaluate("document.querySelectorAll('#site-table th button')[1].click()")
    values = [float(v) for v in browser.evaluate(COLUMN.format(1)) if v not in ("exact", "–")]
    assert values == sorted(values) and len(set(values)) > 3, values
    browser.evaluate("document.querySelectorAll('#site-table th button')[1].click()")
    values = [float(v) for v in browser.evaluate(COLUMN.format(1)) if v not in ("exact", "–")]
    assert values == sorted(values, reverse=True), values


def check_filter(browser):
    everything = browser.evaluate(COLUMN.format(0))
    browser.evaluate("document.querySelector('input[type=search]').focus()")
    browser.type("mlp.fc2")
    shown = browser.evaluate(COLUMN.format(0))
    assert sorted(shown) == sorted(name for name in everything if "mlp.fc2" in name)
    assert 0 < len(shown) < len(everything)
    cards = browser.evaluate("[...document.querySelectorAll('.card')].filter(c => !c.hidden)"
                             ".map(c => c.querySelector('b').textContent)")
    assert sorted(cards) == sorted(shown)
    browser.evaluate("(i => { i.value = ''; i.dispatchEvent(new Event('input')); })"
                     "(document.querySelector('input[type=search]'))")
    assert len(browser.evaluate(COLUMN.format(0))) == len(everything)


def check_keyboard(browser):
    """Tab goes from the filter to the first heading, Enter sorts by it; Enter opens a card."""
    browser.evaluate("document.querySelector('input[type=search]').focus()")
    browser.press("Tab", 9)
    where = "document.activeElement.closest('th')?.cellIndex"
    while browser.evaluate(where) is None:  # the scrolling box may be a stop of its own
        assert browser.evaluate("document.activeElement !== document.body")
        browser.press("Tab", 9)
    assert browser.evaluate(where) == 0
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.press("Enter", 13, "\r")
    first = "document.querySelector('#site-table th').getAttribute('aria-sort')"
    assert browser.evaluate(first) == "ascending"
    browser.press("Enter", 13, "\r")
    assert browser.evaluate(first) == "descending"
    card = "document.querySelectorAll('.card')[1]"
    browser.evaluate(f"{card}.querySelector('summary').focus()")
    for expected in (True, False):
        browser.press("Enter", 13, "\r")
        assert browser.evaluate(f"{card}.open") is expected


def check_links_and_hover(browser):
    browser.evaluate("document.querySelector('#guilty-table a').click()")
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    assert browser.evaluate("document.getElementById(location.hash.slice(1)).open")
    box = browser.evaluate("""(() => {
      const svg = document.querySelector('.card[open] .dense').closest('svg');
      svg.scrollIntoView({block: 'center', behavior: 'instant'});
      const r = svg.getBoundingClientRect();
      return [r.left + r.width / 2, r.top + r.height / 2];
    })()""")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    text = browser.evaluate("document.querySelector('.readout')?.textContent")
    assert text and text.startswith("|input| "), text


def check_keep_list(browser):
    for count in (2, 1, 3):
        browser.evaluate("(i => { i.value = %d; i.dispatchEvent(new Event('input')); })"
                         "(document.getElementById('keep-count'))" % count)
        lines = browser.evaluate("document.getElementById('keep-list').innerText")
        sites = json.loads("{" + lines + "}")
        assert len(sites) == count and set(sites.values()) == {None}, lines


def check_narrow(browser):
    browser.size(390, 844)
    for _ in range(2):  # closed cards, then open ones
        width = browser.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{width} px wide at 390"
        browser.evaluate(OPEN_ALL)


def check_contrast(browser):
    browser.size(1280, 720)
    browser.evaluate(OPEN_ALL)
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        ratio, text = browser.evaluate(LEAST_CONTRAST)
        print(f"least contrast, {scheme}: {ratio:.2f} ({text!r})")
        assert ratio >= MIN_CONTRAST, (scheme, ratio, text)
    papers = []
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        papers.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers[0] != papers[1], papers
    browser.scheme("light")


def check_print(browser, page):
    browser.open(page)
    pdf = browser.call("Page.printToPDF", preferCSSPageSize=False)["data"]
    assert pdf.startswith("JVBERi0"), pdf[:20]  # "%PDF-"
    opened = browser.evaluate("document.querySelectorAll('.card[open]').length")
    assert opened == browser.evaluate("document.querySelectorAll('#guilty-table a').length")


def check_page(page, sites):
    assert page.stat().st_size <= MAX_PAGE_BYTES, page.stat().st_size
    with chromium.Chromium() as browser:
        browser.size(1280, 720)
        browser.scheme("light")
        browser.open(page)
        assert len(browser.evaluate(COLUMN.format(0))) == sites
        assert browser.evaluate("document.querySelectorAll('.card').length") == sites
        broken = browser.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
        assert broken == 0, f"{broken} pictures do not load"
        check_first_screen(browser)
        check_sorting(browser)
        check_filter(browser)
        check_keyboard(browser)
        check_links_and_hover(browser)
        check_keep_list(browser)
        check_narrow(browser)
        check_contrast(browser)
        check_quiet(browser, page)
        check_print(browser, page)
        check_quiet(browser, page)
    print(f"{page.name}: {sites} sites, {page.stat().st_size:,} bytes")


def run_demo(folder):
    subprocess.run([os.environ["W8A8_BINARY"], "--clip-ranges", "2,5,inf",
                    "--out", folder / "demo", "--quiet"], check=True)
    return folder / "demo/report.html"


def main():
    if chromium.find() is None:
        if "browser" in os.environ.get("W8A8_REQUIRE", "").split(","):
            sys.exit("W8A8_REQUIRE names browser, but there is no chromium")
        print("*** SKIPPED, browser is missing: no chromium; scripts/setup --tests installs it ***")
        sys.exit(77)
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    check_page(run_demo(folder), 24)
    subprocess.run([program, str(folder / "sample"), "27"], check=True)
    check_page(folder / "sample/one/report.html", 108)


if __name__ == "__main__":
    main()
