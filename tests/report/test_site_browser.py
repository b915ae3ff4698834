"""The report in a browser: as a reader with a keyboard, a screen reader, a telephone or a printer meets it."""

import fabricated
import nbformat
import pandas as pd
import pytest
from nbformat import v4

from nslib import config
from nslib.evaluation.results import ResultsBuilder
from nslib.figures import result_heatmap
from nslib.report.html import write_report
from nslib.report.notebooks import Run, render_notebook

pytestmark = pytest.mark.heavy  # a browser


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):
    """A report of made-up results with one figure, and the page of a notebook that has code and a wide table."""
    home = tmp_path_factory.mktemp("my site")  # with a space
    (home / "notebooks").mkdir()
    wide = v4.new_output("display_data", {"text/html": pd.DataFrame(0.5, ["score"], range(60)).to_html()})
    cells = [v4.new_markdown_cell("# Benchmark\n\n## 1. Scores"),
             v4.new_code_cell("x = 1  # " + "long " * 60, outputs=[wide])]
    path = home / "notebooks" / "05_benchmark.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), path)
    run = Run("05_benchmark", "Benchmark", "ran", 1.0, "", "", "2026-01-01T00:00:00+00:00")
    path.with_suffix(".html").write_text(render_notebook(path, run))
    made = ResultsBuilder().results()
    made.rows, made.predictions, made.ledger = fabricated.rows(), fabricated.predictions(), fabricated.ledger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nslib.report.html._draw_figures",
                      lambda results, *_: [("All scores.", result_heatmap(results.rows, results.predictions))])
        return write_report(made, config.load_params(), out=home, runs=[run])


@pytest.fixture
def page(browser, site, request):
    """The report, open; the test fails for whatever it says on the console or wants from the network."""
    context = browser.new_context(**getattr(request, "param", {}))
    page, noise = context.new_page(), []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda asked: noise.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.goto(site.as_uri())
    yield page
    context.close()
    assert not noise


def violations(page):
    from axe_playwright_python.sync_playwright import Axe

    return [v["id"] for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("page", [{"color_scheme": scheme} for scheme in ("light", "dark")], indirect=True)
def test_the_drawer_opens_and_closes_by_keyboard_and_no_rule_of_access_is_broken(page):
    assert violations(page) == []
    cell = page.locator("button.cell").nth(1)
    cell.focus()
    page.keyboard.press("Enter")
    drawer = page.locator("[popover]:popover-open")
    assert drawer.get_attribute("role") == "dialog"
    assert page.evaluate("document.activeElement.closest('[popover]') !== null")
    assert all(word in drawer.inner_text() for word in ("Weights", "Lock file", "Interval", "python -m nslib"))
    assert violations(page) == []
    page.keyboard.press("Escape")
    assert drawer.count() == 0
    assert page.evaluate("document.activeElement.getAttribute('popovertarget')") == cell.get_attribute("popovertarget")


@pytest.mark.parametrize(("before", "told"), [
    ("0", "copied"),
    ("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false", "selected")])
def test_the_command_is_copied_or_selected_and_that_is_said(page, before, told):
    page.evaluate(before)
    page.locator("button.cell").first.click()
    drawer = page.locator("[popover]:popover-open")
    drawer.locator("button.copy").click()
    page.wait_for_function(f"document.querySelector(':popover-open button.copy').textContent.startsWith('{told}')")
    assert drawer.locator("code").inner_text().startswith("python -m nslib ")
    assert told == "copied" or page.evaluate("getSelection().toString()").startswith("python -m nslib ")


def test_on_a_telephone_the_page_is_no_wider_than_the_screen_and_printed_the_table_is_whole(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("table.result th[scope=row]").first.evaluate("e => getComputedStyle(e).position") == "sticky"
    page.emulate_media(media="print")
    assert not page.locator("[popover]").first.is_visible() and not page.locator("nav").first.is_visible()
    assert page.locator(".scroll").first.evaluate("e => getComputedStyle(e).overflowX") == "visible"


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_a_script_every_fact_is_still_reached(page):
    page.locator("button.cell").first.click()
    page.locator("[popover] dl").first.wait_for(state="visible", timeout=5000)
    assert not page.locator("button.copy").first.is_visible()


def test_the_page_of_a_notebook_is_accessible(page):
    page.locator("a[href='notebooks/05_benchmark.html']").last.click()
    assert page.locator("h1").inner_text() == "Benchmark"
    assert violations(page) == []
