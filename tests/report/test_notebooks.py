"""Notebooks run strictly and only when needed, and their pages."""

from types import SimpleNamespace

import nbformat
import pytest
from nbformat import v4

from nslib import config
from nslib.errors import UnknownName
from nslib.report import notebooks

GOOD = 'import nslib\nnslib.check(seed >= 0, "the seed is not negative")'


def make_notebook(*sources):
    cells = [v4.new_markdown_cell("# A title\n\nSee [the other](b.ipynb)."),
             v4.new_code_cell("seed = 0  # whole number", metadata={"tags": ["parameters"]})]
    for source in (*sources, "seed"):
        cells += [v4.new_markdown_cell("Prose."), v4.new_code_cell(source)]
    return v4.new_notebook(cells=cells)


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Add a notebook to an empty folder of them."""
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(config, "notebooks_dir", lambda: tmp_path)
    return lambda *sources: nbformat.write(make_notebook(*sources), tmp_path / "a.ipynb")


def test_what_changes_a_stamp_and_what_does_not(add, tmp_path, monkeypatch):
    def stamp(given=1, inputs="clips 1"):
        notebooks._hash_surroundings.cache_clear()
        return notebooks.make_stamp(tmp_path / "a.ipynb", {"seed": given}, inputs)

    add(GOOD)
    installed = []
    for owner, name, value in ((config, "data_dir", lambda: tmp_path / "data"), (config, "root", lambda: tmp_path),
                               (notebooks, "__file__", str(tmp_path / "nslib" / "report" / "notebooks.py")),
                               (notebooks.importlib.metadata, "distributions", lambda: installed)):
        monkeypatch.setattr(owner, name, value)
    seen = [stamp(), stamp(given=2), stamp(inputs="clips 2")]
    assert stamp() == seen[0]
    add(GOOD, GOOD)
    seen.append(stamp())
    for name in ("data/splits.csv", "requirements.lock", "nslib/probe.py", "nslib/report/page.html.j2"):
        config.write_file(tmp_path / name, "x")
        seen.append(stamp())
    installed.append(SimpleNamespace(name="opensmile", version="1"))
    seen.append(stamp())
    notebooks._hash_surroundings.cache_clear()
    assert len(set(seen)) == 9


def test_a_notebook_that_breaks_the_contract_is_not_started(add, monkeypatch):
    add(GOOD + "\n!ls")
    monkeypatch.setattr("papermill.execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))
    (run,) = notebooks.run_notebooks(config.load_params(), progress=False)
    assert run.status == "failed" and "shell or magic line" in run.why


def test_a_run_that_is_killed_leaves_the_last_good_copy(add, monkeypatch):
    add(GOOD)
    out = config.reports_dir() / "notebooks"
    config.write_file(out / "a.ipynb", "the last good one")

    def killed(path, output, **_):
        output.write_text("half a noteb")
        raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", killed)
    with pytest.raises(KeyboardInterrupt):
        notebooks.run_notebooks(config.load_params(), progress=False)
    assert [path.read_text() for path in out.iterdir()] == ["the last good one"]
    (out / "a.json").write_text("{half")
    assert notebooks.read_last_runs() == []  # a damaged record means: run again
    with pytest.raises(UnknownName, match="notebook 'b'"):
        notebooks.run_notebooks(config.load_params(), ["b.ipynb"], progress=False)


def test_a_page_has_no_script_and_links_to_pages(tmp_path):
    node = make_notebook(GOOD)
    noise = "logmel: 100%|####| 3/3 [00:01<00:00, 2.9clip/s]\nUserWarning: <b>\n"
    node.cells[-1].outputs = [v4.new_output("stream", name="stderr", text=noise),
                              v4.new_output("display_data", data={"text/html": "<table></table>"})]
    nbformat.write(node, tmp_path / "a.ipynb")
    run = notebooks.Run("a", "A <title>", "ran", 1.0, "", "s", "2026-01-02T03:04:05+00:00")
    text = notebooks.render_notebook(tmp_path / "a.ipynb", run)
    assert "<script" not in text and "https://" not in text and "A &lt;title&gt;" in text
    assert 'href="b.html"' in text and "<table></table>" in text
    assert "UserWarning: &lt;b&gt;" in text and "clip/s" not in text
