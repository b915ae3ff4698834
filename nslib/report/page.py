"""Pages made of templates; an executed notebook as a page of its own, without script or network.

Jupyter's converters turn Markdown, source and outputs into HTML; the page around them, and how it looks, are the
report's. Their own page templates are not used because they load scripts.
"""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

__all__: list[str] = []

TEMPLATES = Path(__file__).resolve().parent / "templates"
_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)
# Progress bars, and what TensorFlow says on starting whatever its log level is.
_NOISE = re.compile(r"\d+%\|.*\[|\d+\S* \[\d\d:\d\d[<,]|^[IW]0000 |^WARNING: All log messages before absl")
# Long lines and wide tables scroll, which a keyboard can only do where it can go.
_REACHABLE = 'tabindex="0" role="group" aria-label="{}" '


def render(template: str, **values: Any) -> str:
    """Fill a template of the report; HTML in the values is escaped, except in ``body``."""
    import markupsafe

    css, script = (markupsafe.Markup((TEMPLATES / name).read_text("utf-8")) for name in ("style.css", "page.js"))
    values |= {name: markupsafe.Markup(values[name]) for name in ("body",) if name in values}
    return _templates().get_template(template).render(css=css, script=script, **values)


@functools.lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    """Return the templates, which refuse names that they are not given."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: bool(name and name.endswith(".html.j2")), undefined=jinja2.StrictUndefined)


def render_notebook(path: Path, run: Any) -> str:
    """Turn an executed notebook into a page; `run` is the `nslib.report.notebooks.Run` that made it."""
    import nbformat

    cells = nbformat.read(str(path), as_version=4)["cells"]
    body = "\n".join(_prose(cell) if cell["cell_type"] == "markdown" else _code(cell) for cell in cells)
    contents = [(anchor, re.sub(r"<[^>]+>", "", text)) for anchor, text in _HEADING.findall(body)]
    return render("notebook.html.j2", title=run.title, run=run, body=body, contents=contents)


def _prose(cell: Any) -> str:
    """Turn Markdown into HTML, with links to the pages of other notebooks."""
    from nbconvert.filters.markdown import markdown2html

    text = re.sub(r"<a class=\"anchor-link\".*?</a>", "", markdown2html(cell["source"]))
    return re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', text)


def _code(cell: Any) -> str:
    """Turn a code cell and its outputs into HTML."""
    from nbconvert.filters.highlight import Highlight2HTML

    source = Highlight2HTML()(cell["source"]) if cell["cell_type"] == "code" else ""
    source = source.replace("<div class", f'<div {_REACHABLE.format("Code")}class', 1)
    outputs = "".join(_output(output) for output in cell.get("outputs", []))
    return f'<div class="cell-code">{source}{outputs}</div>'


def _output(output: Any) -> str:
    """Put an output, if anything is left of it, into a box that a keyboard reaches."""
    kind, text = output["output_type"], _output_text(output)
    if not text.strip():
        return ""
    name = {"stream": output.get("name", ""), "error": "error"}.get(kind, "")
    reachable = _REACHABLE.format("Output") if "<table" in text or "<pre" in text else ""
    return f'<div {reachable}class="output {name}">{text}</div>'


def _output_text(output: Any) -> str:
    """Turn an output into HTML: of several forms the richest that needs no script."""
    from nbconvert.filters.ansi import ansi2html

    if output["output_type"] == "stream":
        lines = [line for line in output["text"].splitlines() if not _NOISE.search(line)]
        return f"<pre>{ansi2html(chr(10).join(lines))}</pre>" if any(line.strip() for line in lines) else ""
    if output["output_type"] == "error":
        return f"<pre>{ansi2html(chr(10).join(output['traceback']))}</pre>"
    data = output["data"]
    if "text/html" in data:
        return str(data["text/html"])
    image = next((k for k in data if k.startswith("image/") and k != "image/svg+xml"), "")
    if image:
        alt = html.escape(str(output["metadata"].get(image, {}).get("alt", "")))
        return f'<img alt="{alt}" src="data:{image};base64,{data[image]}">'
    return f"<pre>{ansi2html(data.get('text/plain', ''))}</pre>"
