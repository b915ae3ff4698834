"""Small PDFs that the tests make: pages of lines, a line being a text or the cells of a table row."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

Line = str | Sequence[str]
TITLE = ("Towards Learning a Universal Non-Semantic", "Representation of Speech")


def drawn(path: Path, pages: Sequence[Sequence[Line]], *, left: float = 0.05, step: float = 0.13) -> Path:
    """Draw with matplotlib, whose text pypdf can read when fonts are embedded as TrueType."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(path) as out:
        for lines in pages:
            fig = Figure(figsize=(8.3, 11.7))
            axes = fig.add_axes((0, 0, 1, 1))
            axes.axis("off")
            for i, line in enumerate(lines):
                for j, text in enumerate([line] if isinstance(line, str) else line):
                    axes.text(left + step * j, 0.97 - 0.022 * i, text, size=7)
            out.savefig(fig)
    return path


def by_hand(path: Path, lines: Sequence[Line], *, step: int = 75) -> Path:
    """Write the smallest PDF there is: one page, one built-in font, every cell placed by itself."""
    shown = []
    for i, line in enumerate(lines):
        for j, text in enumerate([line] if isinstance(line, str) else line):
            escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            shown.append(f"BT /F1 8 Tf 1 0 0 1 {30 + step * j} {760 - 14 * i} Tm ({escaped}) Tj ET")
    content = "\n".join(shown).encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + table)
    out.write(b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)
    path.write_bytes(out.getvalue())
    return path
