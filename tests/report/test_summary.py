"""What `benchmark` prints and writes: within the width, with what must be known, as table, JSON and page alike."""

import dataclasses
import json

import fabricated
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from nslib import config
from nslib.errors import BadParameter
from nslib.evaluation.controls import CONTROLS
from nslib.evaluation.results import ResultsBuilder, join_tables
from nslib.report import summary
from nslib.statistics.scores import select_scores

PARAMS = config.load_params({})
TASK = "language-five"


@pytest.fixture(scope="module")
def measured():
    made = ResultsBuilder().results()
    return dataclasses.replace(made, rows=fabricated.rows(), predictions=fabricated.predictions(),
                               clips=fabricated.clips(), notes=["language-five: mfcc: 3 vectors are all zero."])


@pytest.fixture(scope="module")
def controls():
    nothing = {"str": "", "int": 0, "float": 0.0, "bool": False}
    rows = [{"control": "majority", "value": 0.2, "low": 0.1, "high": 0.3, "interval_by": "speaker"},
            {"control": "silence", "value": np.nan, "says": "Not measured: no pause anywhere."}]
    empty = {name: nothing[dtype] for name, dtype in CONTROLS.items()}
    table = pd.DataFrame([empty | {"task": TASK, "metric": "accuracy", **row} for row in rows])
    return join_tables([table], CONTROLS)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_the_table_keeps_the_width_and_has_embeddings_as_rows(measured, controls, width):
    text = summary.format_table(summary.describe_results(measured, PARAMS, controls), width)
    assert max(map(len, text.splitlines())) <= width
    block = text.split(f"{TASK}: ")[1].split("\n\n")[0]
    lines = [line for line in block.splitlines() if line[:1] in "★≈ -" and "[" in line]
    scores = select_scores(measured.rows).query("task == @TASK").set_index("embedding")
    if width >= 80:
        for name, row in scores.iterrows():
            (line,) = [line for line in lines if f" {name} " in line]
            assert f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in line and row["probe"] in line
            assert (" +L2" in line, " +z" in line) == (row["l2"], row["speaker_norm"])
        assert lines[0].startswith("★") and lines[0].split()[1] == scores["value"].idxmax()
        assert "- majority" in block and "! Not measured: no pause" in " ".join(block.split())


def test_a_transductive_choice_stands_beside_what_validation_chooses_without_it(measured):
    table, seen = summary.describe_results(measured, PARAMS), 0
    for cell in table["cells"]:
        own = measured.rows[measured.rows["key"] == cell["key"]]
        plain = own[~own["speaker_norm"]].pivot_table(index=["probe", "l2"], columns="split", values="value")
        wanted = plain.loc[plain["validation"].idxmax(), "test"]
        assert (cell["without"] is None) == (not cell["speaker_norm"])
        if cell["without"]:
            seen += 1
            assert cell["without"]["value"] == wanted and "+z" not in cell["without"]["short"]
    assert seen and "without +z" in summary.format_table(table)


def test_of_the_layers_of_a_model_validation_alone_chooses_one_and_no_other_is_marked(measured):
    model = dict.fromkeys(measured.rows["embedding"].unique(), "model")
    wanted = measured.rows.query("selected and split == 'validation'").sort_values("value", kind="stable")
    wanted = wanted.groupby("task")["embedding"].last().to_dict()
    worse = measured.rows["split"].eq("test") & (measured.rows["embedding"] == measured.rows["task"].map(wanted))
    for drop in (0.0, 0.05):  # of the test scores of the chosen, which must not matter
        rows = measured.rows.assign(value=measured.rows["value"] - drop * worse)
        layers = dataclasses.replace(measured, rows=rows, layers=model)
        table = summary.describe_results(layers, PARAMS)
        assert {cell["task"]: cell["embedding"] for cell in table["cells"] if cell["best_layer"]} == wanted
        assert {cell["standing"] for cell in table["cells"] if not cell["best_layer"]} == {""}
        text, read, words = summary.format_table(table, 120), layers.table(), "best layer by validation"
        assert text.count(words) == len(wanted) == text.count("★") - 1
        assert all(words in read.filter(like=task, axis=0)[name].item() for task, name in wanted.items())


def test_where_nothing_is_told_from_chance_nothing_is_the_best(measured):
    table = summary.describe_results(dataclasses.replace(measured, rows=measured.rows.assign(low=0.0)), PARAMS)
    assert not any(cell["mark"] for cell in table["cells"])
    assert all("told from chance" in task["warnings"][-1] for task in table["shown"])


def test_no_speakers_are_unknown_ones_and_no_classes_are_numbers(measured, tmp_path):
    rows = measured.rows.assign(n_speakers=0, classes=0)
    table = summary.describe_results(dataclasses.replace(measured, rows=rows), PARAMS)
    page = summary.write_page(dataclasses.replace(measured, rows=rows), tmp_path / "page.html", PARAMS).read_text()
    assert "clips, speakers unknown;" in " ".join(summary.format_table(table, 80).split())
    for text in ("clips, speakers unknown, no classes", "/ unknown<", ">numbers; speakers<"):
        assert text in page
    assert "0 speakers" not in page and "0 classes" not in page


def make_clips(**changes):
    clips = pd.DataFrame({"task": "t", "clip_id": list("abcdef"), "audio": [f"/c/{name}.wav" for name in "abcdef"],
                          "label": list("xyxyxy"), "speaker": list("112233"), "source": "c", "sample_rate": 16_000,
                          "split": ["train"] * 2 + ["validation"] * 2 + ["test"] * 2})
    return clips.assign(**changes)


@pytest.mark.parametrize(("changes", "said"), [
    ({}, []), ({"speaker": list("112213")}, ["1 of 2 test speakers, with 1 of 2 clips"]),
    ({"speaker": list("112211")}, ["1 of 1 test speakers, with 2 of 2 clips"]), ({"speaker": ""}, []),
    ({"speaker": list("xyxyxy")}, []),  # the speaker is the label
    ({"speaker": list("112211"), "fold": list("001122"), "text": ""}, []),
    ({"source": list("aabbbb")}, ["another source (b) than those of training (a)"]),
    ({"audio": [f"/d/{where}/{k}.wav" for k, where in enumerate(("emodb",) * 4 + ("ravdess",) * 2)]},
     ["another source (ravdess) than those of training (emodb)"]),
    ({"audio": [f"/d/{where}/{k}.wav" for k, where in enumerate(("train",) * 4 + ("test",) * 2)]}, []),
    ({"sample_rate": [8000] * 4 + [16000] * 2}, ["another rate (16000 Hz)"])])
def test_leaks_and_other_corpora_are_said_whoever_drew_the_split(changes, said):
    found = summary.describe_test(make_clips(**changes))
    assert len(found) == len(said) and all(words in text for words, text in zip(said, found, strict=True))


def test_notes_are_grouped_counted_and_cut(measured):
    notes = [*(f"t: Fold {k}: {k + 3} clips are odd." for k in range(5)), "t: mfcc: 2 zero.", "t: logmel: 4 zero.",
             "9" * 13_000]
    text = summary.format_notes(notes, ["mfcc", "logmel"], 70)
    assert text.count("note:") == 3 and max(map(len, text.splitlines())) <= 70
    joined = " ".join(text.split())
    assert "Fold 0: 3 clips are odd. (4 more differ from this in numbers only.)" in joined
    assert "t: … zero: mfcc 2, logmel 4." in joined and "(13,000 characters; --json has all)" in joined


def test_json_says_the_same(measured, controls):
    read = json.loads(summary.format_json(measured, summary.describe_results(measured, PARAMS, controls)))
    task = next(task for task in read["tasks"] if task["task"] == TASK)
    chosen = select_scores(measured.rows).query("task == @TASK").set_index("embedding")["value"]
    assert {score["embedding"]: score["value"] for score in task["scores"]} == chosen.to_dict()
    assert task["controls"][1]["value"] is None and read["notes"] == measured.notes


def test_each_metric_is_shown_of_errors_the_lowest_first_and_as_its_unit_is(measured, controls, tmp_path):
    rows = measured.rows[measured.rows["task"] == TASK]
    also = [rows[rows["selected"]].assign(
        metric=metric, value=change(rows["value"]), low=change(low), high=change(high), chance=chance,
        best_on_test=False) for metric, chance, change, low, high in (
        ("equal_error_rate", 0.5, lambda value: 1 - value, rows["high"], rows["low"]),
        ("mean_absolute_error", 70.0, lambda value: 90 - 80 * value, rows["high"], rows["low"]))]
    several = dataclasses.replace(measured, rows=pd.concat([rows, *also], ignore_index=True))
    table = summary.describe_results(several, PARAMS, controls)
    assert [task["metric"] for task in table["shown"]] == ["accuracy", "equal_error_rate", "mean_absolute_error"]
    blocks = summary.format_table(table, 120).split("\n\n")
    firsts = [block.split("★ ")[1].split()[0] for block in blocks[:3]]
    assert len(set(firsts)) == 1 and ["- majority" in block for block in blocks[:3]] == [True, False, False]
    lowest = select_scores(rows).set_index("embedding")["value"].max()
    assert f"{1 - lowest:.2f} [" in blocks[1] and "mean absolute error" in blocks[2]
    path = summary.write_page(several, tmp_path / "page.html", PARAMS, controls=controls)
    text = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").get_text(" ")
    assert f"{90 - 80 * lowest:.2f}" in text and f"{100 * (1 - lowest):.1f}" in text
    ids = [tag["id"] for tag in BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")(id=True)]
    assert len(ids) == len(set(ids))
    assert select_scores(several.rows)["metric"].tolist() == ["accuracy"] * rows["embedding"].nunique()


@pytest.fixture(scope="module")
def page(measured, controls, tmp_path_factory):
    return summary.write_page(measured, tmp_path_factory.mktemp("own") / "page.html", PARAMS, controls=controls)


def test_the_page_is_one_file_and_has_table_controls_confusion_and_audit(measured, page):
    parsed = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    assert not parsed("link") and all(image["src"].startswith("data:") and image["alt"] for image in parsed("img"))
    assert all(parsed.find(id=link["href"][1:]) for link in parsed("a"))
    words = parsed.get_text(" ")
    assert all(said in words for said in ("Not measured: no pause anywhere.", "smallest_class", "mfcc"))
    assert len(parsed("img")) == len(fabricated.TASKS)
    with pytest.raises(BadParameter, match=r"ends in \.html"):
        summary.write_page(measured, page.with_suffix(".pdf"), PARAMS)


@pytest.mark.heavy
def test_the_page_breaks_no_rule_of_access_and_fits_a_telephone(browser, page):
    from axe_playwright_python.sync_playwright import Axe

    tab = browser.new_page()
    noise: list[str] = []
    tab.on("console", lambda message: noise.append(message.text))
    tab.goto(page.as_uri())
    assert not noise
    assert not [v["id"] for v in Axe().run(tab).response["violations"] if v["impact"] in ("serious", "critical")]
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
