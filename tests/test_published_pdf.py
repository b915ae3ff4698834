"""Published numbers held against a PDF: what is read, and what is left because it could be read in two ways."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import papers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import params, published
from nslib.errors import BadParameter, UnknownName
from nslib.published import tables, text

HOME = params.data_dir() / "published"
WORD = "recalled-unverified"
DATASETS = ("VoxCeleb", "VoxForge", "Speech Commands", "CREMA-D", "SAVEE", "DementiaBank")


# ------------------------------------------------------------------ from text to cells

ROWS = ("Prev SOTA", "TRILL top", "TRILL layer 19", "TRILL")
COLUMNS = ("VoxCeleb", "VoxForge", "Speech Commands")


def cells_of(region: str, rows=ROWS, columns=COLUMNS, **options: bool) -> dict[tuple[str, str], str]:
    return {cell: reading.text for cell, reading in text.read(text.clean(region), rows, columns, **options).items()
            if reading.text}


@pytest.mark.parametrize("line", [
    "TRILL layer 19 17.7 88.1 74.0",
    "TRILL (layer 19) 17.7* 88.1 † 74.0+",
    "TRILL frozen layer 19 [3] 17.7 ± 0.3 88.1±1 74.0 (0.2)",
    "TRILL layer 19∗ 17.7² 88.1 [30] 74.0% [1, 2]",
    "TRILL layer-19 17.7a 88.1 +- 0.3 74.0",
    "TRILL\nlayer 19\n17.7 88.1\n74.0\n142",
])
def test_a_row_is_read_whatever_stands_beside_its_numbers(line):
    found = cells_of(f"Model VoxCeleb* VoxForge Speech Commands\n{line}\n")
    assert [found["TRILL layer 19", c] for c in COLUMNS] == ["17.7", "88.1", "74.0"] and len(found) == 3


@pytest.mark.parametrize("header", [
    "Model Voxceleb1 Voxforge SpeechCommands",
    "Model VoxCeleb VoxForge Speech\nCommands",
    "Model VoxCeleb VoxForge\nSpeech\nCommands",
    "Speech\nModel VoxCeleb VoxForge Commands",
    "Model VoxCeleb VoxForge Speech (12)\nCommands\n(%) (%) (%)",
    "We test on VoxForge and Speech Commands.\nModel VoxCeleb [1] VoxForge [2] Speech Commands [3]",
    "VoxCelebVoxForgeSpeech Commands",
])
def test_columns_are_found_in_a_broken_header(header):
    found = cells_of(f"{header}\nPrev SOTA - 89.0 91.1\nTRILL top 1.5 2.5 3.5\n")
    assert found["TRILL top", "Speech Commands"] == "3.5" and found["TRILL top", "VoxCeleb"] == "1.5"
    assert found["Prev SOTA", "VoxCeleb"] == text.BLANK and len(found) == 6


@pytest.mark.parametrize(("region", "why"), [
    ("Model VoxCeleb VoxForge Speech Commands Average\nTRILL top 1 2 3\n", "also says 'Average'"),
    ("Model VoxCeleb VoxForge\nTRILL top 1 2 3\n", "does not name Speech Commands"),
    ("Model VoxCeleb VoxForge Speech Commands\nTRILL top 1 2\n", "2 values for 3 columns: 1 2"),
    ("Model VoxCeleb VoxForge Speech Commands\nTRILL top 1 2 3 4\n", "4 values for 3 columns"),
    ("Model VoxCeleb VoxForge Speech Commands\nTRILL top 1 2 3\nTRILL top 4 5 6\n", "before values 2 times"),
    ("Model VoxCeleb VoxForge Speech Commands\nTRILL top 1 2 three\n", "2 values for 3 columns"),
    ("TRILL top 1 2 3\nModel VoxCeleb VoxForge Speech Commands\n", "does not name"),
])
def test_what_can_be_read_in_two_ways_is_not_read(region, why):
    readings = text.read(region, ROWS, COLUMNS)
    assert not any(r.text for r in readings.values())
    assert why in readings["TRILL top", "VoxForge"].reason


def test_captions_are_found_in_both_numberings():
    said = "Table 2: x\nTABLE IV\nRESULTS\nin Table 3 we see, and a tablet."
    assert [number for number, _, _ in text.captions(said)] == ["2", "4"]


def test_prose_and_longer_names_are_no_rows():
    region = "VoxCeleb VoxForge Speech Commands\nTRILL top 1 2 3\nwhere TRILL 5 is best; TRILL layer 19 gives 7 8 9\n"
    assert set(cells_of(region)) == {("TRILL top", c) for c in COLUMNS}
    region = "VoxCeleb VoxForge Speech Commands\nTRILL (distilled) 1 2 3\n"
    assert cells_of(region) == {}
    assert text.read("nothing here", ROWS, COLUMNS)["TRILL", "VoxForge"].reason == text.NO_TABLE


def test_a_table_of_facts_has_words_thousands_and_yes_or_no():
    region = ("Dataset Target Number of classes Number of samples Avg. duration (s) Intra-speaker?\n"
              "VoxCeleb∗ Speaker identification 1,251 12\u2009052 8.4 No\nSpeech Commands Command 12 100,503 1.0 Yes\n")
    columns = ("classes", "samples", "mean seconds", "intra speaker")
    found = cells_of(region, ("VoxCeleb", "Speech Commands"), columns, words=True)
    assert [found["VoxCeleb", c] for c in columns] == ["1,251", "12052", "8.4", "no"]
    assert [found["Speech Commands", c] for c in columns] == ["12", "100,503", "1.0", "yes"]


@settings(max_examples=60)
@given(st.permutations(DATASETS), st.permutations(["OpenSmile", "YAMNet layer 10", "YAMNet top", "VGGish FC1"]),
       st.lists(st.integers(0, 999), min_size=24, max_size=24), st.randoms(use_true_random=False))
def test_a_cell_is_read_right_or_not_at_all(columns, rows, values, random):
    """Random order, marks, breaks and lost cells: never a wrong number."""
    truth = {(r, c): f"{values[6 * i + j] / 10:.1f}" for i, r in enumerate(rows) for j, c in enumerate(columns)}
    lines, whole = [" ".join(["Model", *columns])], 0
    for r in rows:
        cells = [truth[r, c] + random.choice(["", "", "*", " †", " ± 0.3", " [7]"]) for c in columns]
        if random.random() < 0.2:
            cells.pop(random.randrange(6))
        whole += len(cells) == 6
        lines.append(r + "".join(random.choice([" ", " ", "\n", "  "]) + cell for cell in cells))
    found = cells_of("\n".join(lines), rows, columns)
    assert all(truth[cell] == value for cell, value in found.items())
    assert len(found) == 6 * whole


# ------------------------------------------------------------------ PDFs


def known(table: str) -> dict[str, dict[str, str]]:
    """Row to column to the digits in the files (a dash where nothing is known): what an agreeing paper prints."""
    cells = tables.raw("noss")
    cells = cells[(cells["table"] == table) & ~cells["row"].str.contains("not named")]
    found: dict[str, dict[str, str]] = {}
    for cell in cells.to_dict("records"):
        column = cell["metric"] if table == "1" else cell["dataset"]
        found.setdefault(cell["row"], {})[column] = cell["value"] or "-"
    return found


def table_2(changes: dict[tuple[str, str], str] | None = None, columns=DATASETS, without=()) -> list[papers.Line]:
    printed = known("2")
    for (row, column), value in (changes or {}).items():
        printed[row][column] = value
    return [["Model", *columns], *([row, *(cells[c] for c in columns)] for row, cells in printed.items()
                                   if row not in without)]


def table_1() -> list[papers.Line]:
    head = ["Dataset", "Target", "Classes", "Samples", "Avg length (s)", "Intra-speaker"]
    lines: list[papers.Line] = [head]
    for row, cells in known("1").items():
        samples = f"{int(cells['samples']):,}"
        flag = "Yes" if cells["intra_speaker"] == "1" else "No"
        lines.append([row, "speech", cells["classes"], samples, cells["mean_seconds"], flag])
    return lines


def paper(path: Path, *, first=papers.TITLE, **options) -> Path:
    pages = [[*first, "arXiv:2002.12764v6 [eess.AS] 6 Aug 2020", "We test on VoxCeleb and more (Table 2)."],
             ["Table 1: Data sets.", *table_1(), "Table 2: Test accuracy.", *table_2(**options), "142"]]
    return papers.drawn(path, pages)


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory):
    return paper(tmp_path_factory.mktemp("pdf") / "paper.pdf")


@pytest.fixture(scope="module")
def checked(agreeing):
    return published.check(agreeing)


def counts(found: pd.DataFrame, table: str) -> dict[str, int]:
    return found[found["table"] == table]["outcome"].value_counts().to_dict()


def test_a_paper_that_agrees(checked):
    second = checked[checked["table"] == "2"]
    numbers = second[~second["row"].str.contains("not named") & (second["status"] != "unknown")]
    assert numbers["outcome"].eq("agrees").all() and numbers["page"].eq(2).all() and len(numbers) == 57
    assert counts(checked, "1") == {"agrees": 24}
    assert checked[checked["outcome"] == "agrees"]["could_be"].eq("seen").all()
    assert checked.attrs["title"] and checked.attrs["arxiv"] == "2002.12764v6"


def test_a_quote_without_a_row_is_told_where_its_number_stands(checked):
    quote = checked[(checked["row"] == "TRILL (row not named)") & (checked["dataset"] == "VoxForge")].iloc[0]
    assert quote["outcome"] == "not found" and quote["could_be"] == ""
    assert "the number stands in that column in the row 'TRILL layer 19'" in quote["reason"]


def test_tables_that_are_not_there_are_not_found(checked):
    assert counts(checked, "3") == {"not found": 22} and counts(checked, "text") == {"not found": 4}
    said = published.report(checked)
    assert "Table 2: 57 agree" in said and "Table 3: 22 not found" in said
    assert "81 of 125 numbers could be raised" in said


def test_a_paper_that_differs_in_some_cells(tmp_path):
    changes = {("OpenSmile", "SAVEE"): "62.7", ("TRILL layer 19", "VoxCeleb"): "17.9*",
               ("Mel / MFCC", "VoxForge"): "-", ("YAMNet top", "SAVEE"): "45.41",
               ("TRILL distilled", "SAVEE"): "65.2", ("Prev SOTA", "CREMA-D"): "74.0*"}
    found = published.check(paper(tmp_path / "p.pdf", changes=changes)).set_index(["table", "row", "dataset"])
    second, seen = found.loc["2"], ["outcome", "stands", "could_be"]
    assert second.loc[("OpenSmile", "SAVEE"), seen].tolist() == ["differs", "62.7", ""]
    assert second.loc[("TRILL layer 19", "VoxCeleb"), ["outcome", "stands"]].tolist() == ["differs", "17.9"]
    assert second.loc[("Mel / MFCC", "VoxForge"), ["outcome", "stands"]].tolist() == ["differs", "-"]
    assert second.loc[("TRILL distilled", "SAVEE"), seen].tolist() == ["read", "65.2", "seen"]
    assert second.loc[("TRILL distilled", "CREMA-D"), seen].tolist() == ["read", "-", ""]
    assert second.loc[("Prev SOTA", "CREMA-D"), "outcome"] == "agrees"
    raised = second.loc[("YAMNet top", "SAVEE")]
    assert raised["outcome"] == "not found" and "footnote's digit" in raised["reason"]
    said = published.report(found.reset_index())
    assert f"differs: OpenSmile, SAVEE: 62.6 % ({WORD}); the PDF has 62.7 on page 2" in said


def test_columns_in_another_order_and_rows_that_are_missing(tmp_path):
    found = published.check(paper(tmp_path / "p.pdf", columns=DATASETS[::-1], without=("OpenSmile",)))
    second = found[found["table"] == "2"]
    gone = second[second["row"] == "OpenSmile"]
    assert gone["reason"].eq("there is no such row").all() and gone["outcome"].eq("not found").all()
    assert counts(found, "2")["agrees"] == 57 - 6 and "differs" not in counts(found, "2")


def test_a_smallest_pdf_with_the_caption_below_and_the_table_turned(tmp_path):
    printed = known("2")
    chosen = ["YAMNet top", "TRILL layer 19"]
    lines = [*papers.TITLE, "", ["Dataset", *chosen], *([c, *(printed[r][c] for r in chosen)] for c in DATASETS),
             "Table 2: Results."]
    found = published.check(papers.by_hand(tmp_path / "p.pdf", lines))
    # Of a table that lacks models nobody knows which number is whose.
    assert "agrees" not in counts(found, "2") and "differs" not in counts(found, "2")
    rows = list(printed)
    turned = [["Data", *rows], *([c, *(printed[r][c] for r in rows)] for c in DATASETS)]
    lines = [*papers.TITLE, *turned, "Table 2: Results."]
    found = published.check(papers.by_hand(tmp_path / "q.pdf", lines, step=120))
    assert counts(found, "2")["agrees"] == 57


def test_below_the_table_a_caption_is_found_too(tmp_path):
    lines = [*papers.TITLE, *table_1(), "Table 1: Data sets.", *table_2(), "Table 2: Accuracy.", "more text"]
    found = published.check(papers.by_hand(tmp_path / "p.pdf", lines))
    assert counts(found, "2")["agrees"] == 57 and counts(found, "1")["agrees"] == 24


def test_another_paper_raises_nothing(tmp_path):
    found = published.check(paper(tmp_path / "p.pdf", first=("Another title",)))
    assert counts(found, "2")["agrees"] == 57 and found["could_be"].eq("").all()
    assert "lacks the title" in published.report(found) and "0 of 125 numbers" in published.report(found)


def test_a_paper_without_tables(tmp_path):
    found = published.check(papers.by_hand(tmp_path / "p.pdf", [*papers.TITLE, "Only prose, with 88.1 and VoxForge."]))
    assert found["outcome"].eq("not found").all() and found["reason"].str.len().gt(0).all()


def test_files_that_cannot_be_checked_are_refused_with_a_remedy(tmp_path, agreeing):
    import pypdf

    with pytest.raises(BadParameter, match="there is no file"):
        published.check(tmp_path / "none.pdf")
    (tmp_path / "text.pdf").write_text("88.1")
    with pytest.raises(BadParameter, match="is not a PDF"):
        published.check(tmp_path / "text.pdf")
    writer = pypdf.PdfWriter(clone_from=agreeing)
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(BadParameter, match=r"is encrypted\. Save a copy without a password"):
        published.check(tmp_path / "locked.pdf")
    with pytest.raises(BadParameter, match="has no text in it, only pictures"):
        published.check(papers.by_hand(tmp_path / "scan.pdf", []))
    with pytest.raises(UnknownName):
        published.check(agreeing, "nosss")


def test_a_damaged_file_is_an_error_that_teaches_and_nothing_else(tmp_path):
    whole = papers.by_hand(tmp_path / "p.pdf", [*papers.TITLE, "Table 2: x", *table_2()]).read_bytes()
    draw = random.Random(0)
    path, refused = tmp_path / "damaged.pdf", 0
    for _ in range(25):
        content = bytearray(whole[:draw.randrange(20, len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.randrange(1, 30)):
            content[draw.randrange(8, len(content))] = draw.randrange(256)
        path.write_bytes(bytes(content))
        try:
            found = published.check(path)
        except BadParameter:
            refused += 1
        else:
            assert set(found["outcome"]) <= {"agrees", "differs", "read", "not found"}
    assert 0 < refused < 25


def test_raised_statuses_go_to_a_copy_and_the_committed_file_stays(tmp_path, agreeing, checked):
    before = (HOME / "noss.csv").read_bytes()
    target = published.write_raised(checked, tmp_path / "raised")
    assert (HOME / "noss.csv").read_bytes() == before and target == tmp_path / "raised" / "noss.csv"
    cells = published.load("noss", folder=tmp_path / "raised")
    assert (cells["status"] == "seen").sum() == 81 and not cells[cells["table"] == "2"]["status"].eq(WORD).any()
    opensmile = cells[(cells["row"] == "OpenSmile") & (cells["dataset"] == "CREMA-D")].iloc[0]
    assert opensmile["value"] == 53.7 and checked.attrs["sha256"][:16] in opensmile["note"]
    assert published.load("noss", "3", folder=tmp_path / "raised")["shown"].eq("unknown").all()
    for place in (HOME, HOME / ".." / "published"):
        with pytest.raises(BadParameter, match="never changed by a program"):
            published.write_raised(checked, place)
    again = published.check(agreeing, folder=tmp_path / "raised")
    assert (again["could_be"] == "").all() and counts(again, "2")["agrees"] == 57


def test_a_number_that_was_unknown_is_written_with_its_value(tmp_path):
    changes = {("TRILL top", c): f"{40 + i}.5" for i, c in enumerate(DATASETS)}
    found = published.check(paper(tmp_path / "p.pdf", changes=changes))
    published.write_raised(found, tmp_path / "raised")
    cells = published.load("noss", "2", folder=tmp_path / "raised")
    top = cells[cells["row"] == "TRILL top"]
    assert top["value"].tolist() == [40.5, 41.5, 42.5, 43.5, 44.5, 45.5] and top["status"].eq("seen").all()
