"""Scores as files for others, and the page over one's own and theirs."""

import json

import fabricated
import numpy as np
import pandas as pd
import pytest

from nslib import config
from nslib.datasets import debian, splits
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.evaluation.results import ResultsBuilder
from nslib.report import leaderboard
from nslib.report.html import write_report
from nslib.report.leaderboard import adopt_scores, build_table, export_scores, read_folder, read_scores, write_page
from nslib.report.verify import recompute_score

TASK = "speaker-fillets"
MANIFEST = debian.read_manifest(debian.manifest_path(TASK))


@pytest.fixture(scope="module")
def measured():
    """Results on a task with a manifest, with its hashes."""
    rows = fabricated.rows().query("task == @TASK")
    return rows.assign(data_hash=splits.hash_data(MANIFEST), split_hash=splits.hash_split(MANIFEST),
                       weights_hash=rows["embedding"])


@pytest.fixture(scope="module")
def answered(measured):
    """The same of one embedding with answers, and with the scores that follow from them."""
    rng, test = np.random.default_rng(3), MANIFEST.query("split == 'test'")
    true = test["label"].to_numpy(str)
    pred = np.where(rng.random(len(true)) < 0.7, true, rng.permutation(true))
    rows = measured[measured["embedding"] == "logmel"].copy()
    answers = pd.DataFrame({"clip_id": test["clip_id"], "speaker": test["speaker"], "y_true": true, "y_pred": pred,
                            "key": rows["key"].iloc[0]})
    for column, value in recompute_score(answers, "accuracy", level=0.95, seed=0).items():
        rows.loc[rows["selected"] & (rows["split"] == "test"), column] = value
    return rows, answers


@pytest.fixture
def shared(answered, tmp_path):
    """A file with answers."""
    return export_scores(answered[0], "logmel", tmp_path / "a.parquet", predictions=answered[1], by="Ada")


def test_a_score_follows_from_its_answers_where_it_arrives(answered, shared, tmp_path, monkeypatch):
    rows, answers = answered
    assert list(json.loads(read_scores(shared)["answers"][0])) == answers["clip_id"].tolist()
    copy, notes = adopt_scores(shared, rows[:0], tmp_path / "rows")
    assert notes[0].startswith("computed again from the answers, and right: speaker-fillets. Whose vectors")
    table = build_table(rows[:0], read_folder(tmp_path / "rows"))
    assert table["trust"].tolist() == [leaderboard.RECOMPUTED] and copy.exists()
    without = read_scores(export_scores(rows, "logmel", tmp_path / "b.parquet"))
    assert build_table(rows[:0], without)["trust"].tolist() == [leaderboard.REPORTED]
    own = read_scores(export_scores(rows.assign(task="mine", notes="clip of Bob left out"), "logmel",
                                    tmp_path / "c.parquet", predictions=answers, tasks=["mine"]))
    assert own["answers"].tolist() == own["notes"].tolist() == [""]  # names of one's own recordings stay at home
    # the list of clips has changed since
    monkeypatch.setattr(debian, "read_manifest", lambda path: MANIFEST[1:])
    assert build_table(rows[:0], read_scores(shared))["trust"].tolist() == [leaderboard.REPORTED]


@pytest.mark.parametrize(("change", "said"), [
    (lambda s: {"value": s["value"] + 0.01}, "value is 0.*, from the answers 0"),
    (lambda s: {"low": s["low"] - 0.01}, "low is"), (lambda s: {"metric": "applause"}, "applause"),
    (lambda s: {"value": 0.99, "low": 0.1, "high": 0.2}, r"cannot be: value 0\.99"),
    (lambda s: {"data_hash": "0000"}, "data 0000 and split"),
    (lambda s: {"about": "x" * 501}, "'about' has 501 characters"),
    (lambda s: {"answers": json.dumps(dict.fromkeys(json.loads(s["answers"]), "x"))}, "value is"),
    (lambda s: {"answers": json.dumps({"nobody": "x"} | json.loads(s["answers"]))}, "0 lack one, 1 are of other"),
    (lambda s: {"answers": '{"a": 1}'}, "not one text a clip")])
def test_whoever_edits_with_care_and_seals_again_is_found(answered, shared, tmp_path, change, said):
    frame = pd.read_parquet(shared)
    frame = frame.assign(**change(frame.iloc[0].to_dict()))
    frame.assign(sha256=leaderboard._hash_row(frame.iloc[0].to_dict())).to_parquet(shared)
    with pytest.raises(BadParameter, match=said):
        adopt_scores(shared, answered[0], tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize(("change", "said"), [
    (lambda f: f.assign(measured_by="Bob"), "changed since"), (lambda f: f.assign(version=9), "version 9"),
    (lambda f: f.drop(columns="version"), "no row of this kit"), (lambda f: f[:0], "no row"),
    (lambda f: f.drop(columns="level"), r"not formed as a row .*lack level")])
def test_a_changed_file_is_refused(measured, tmp_path, change, said):
    path = export_scores(measured, "logmel", tmp_path / "a.parquet")
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(BadParameter, match=said):
        read_scores(path)


def test_a_row_comes_back_as_it_went_and_is_left_out_once_its_file_is_damaged(measured, tmp_path):
    path = export_scores(measured, "logmel", tmp_path / "a.parquet", by="Ada", about="a net")
    content = read_scores(path)
    best = measured.query("embedding == 'logmel' and selected and split == 'test'")["value"]
    assert content["measured_by"].tolist() == ["Ada"] and content["value"].tolist() == best.tolist()
    copy, notes = adopt_scores(path, measured[:0], tmp_path / "rows")
    assert read_folder(tmp_path / "rows").drop(columns="file").equals(content) and copy.exists()
    assert len(notes) == 1 and notes[0].startswith("as reported")
    copy.write_bytes(copy.read_bytes()[:30])
    with pytest.warns(UserWarning, match=r"cannot be read as a row(.|\n)*left out"):
        assert read_folder(tmp_path / "rows").empty
    path = export_scores(measured.assign(task="theirs"), "logmel", tmp_path / "a.parquet", tasks=["theirs"])
    assert "could not be compared" in adopt_scores(path, measured[:0], tmp_path / "rows")[1][0]


@pytest.mark.parametrize(("change", "embedding", "name", "error", "said"), [
    (lambda r: r.assign(data_hash="part"), "logmel", "a.parquet", BadParameter, "not of all its clips"),
    (lambda r: r, "mfc", "a.parquet", UnknownName, "mfc"), (lambda r: r, "logmel", "a.txt", BadParameter, r"\.parquet"),
    (lambda r: pd.concat([r, r.assign(task="language-5", weights_hash="other")]), "logmel", "a.parquet", BadParameter,
     "2 versions of it"),
    (lambda r: r.assign(task="my-ward"), "logmel", "a.parquet", BadParameter, "your own only .my-ward.*--tasks"),
])
def test_what_others_could_not_use_is_not_shared(measured, tmp_path, change, embedding, name, error, said):
    with pytest.raises(error, match=said):
        export_scores(change(measured), embedding, tmp_path / name)


def test_scores_on_recordings_of_ones_own_are_shared_only_when_named(measured, tmp_path, monkeypatch, call):
    both, to = pd.concat([measured, measured.assign(task="my-patients")]), tmp_path / "a.parquet"
    assert read_scores(export_scores(both, "logmel", to))["task"].tolist() == [TASK]
    with pytest.raises(UnknownName, match="my-patient"):
        export_scores(both, "logmel", to, tasks=["my-patient"])
    monkeypatch.setattr("nslib.evaluation.results.load_results", lambda: (both, fabricated.predictions()[:0]))
    assert call("export-row", "logmel", to, "--tasks", f"my-patients, {TASK}")[0] == 0
    assert set(read_scores(to)["task"]) == {"my-patients", TASK}
    assert set(build_table(both, read_folder(tmp_path))["task"]) == {TASK}  # nor a column beside rows of others


def test_the_page_tells_own_rows_from_reported_ones(measured, tmp_path):
    adopt_scores(export_scores(measured, "logmel", tmp_path / "a.parquet", by="Ada <a@b>"), measured, tmp_path / "rows")
    page = write_page(measured, read_folder(tmp_path / "rows"), tmp_path).read_text()
    assert "reported by Ada &lt;a@b&gt;" in page and page.count(f">{leaderboard.REPORTED}<") == 1
    assert leaderboard.HERE in page and "<script" not in page and "http" not in page.split("</style>")[1]
    assert set(pd.read_csv(tmp_path / "leaderboard.csv")["by"].str[:8]) == {"measured", "reported"}
    with pytest.raises(NslibError, match="no row yet"):
        write_page(measured[:0], read_folder(tmp_path), tmp_path)


def test_the_report_leads_to_rows_of_others_once_there_are_any(answered, shared, tmp_path, monkeypatch):
    monkeypatch.setattr("nslib.report.html._draw_figures", lambda *_: [])
    results = ResultsBuilder().results()
    results.rows, results.predictions = answered[0], fabricated.predictions()[:0]
    assert "leaderboard" not in write_report(results, config.load_params(), out=tmp_path, runs=[]).read_text()
    adopt_scores(shared, answered[0], tmp_path / "rows")
    page = write_report(results, config.load_params(), out=tmp_path, runs=[]).read_text()
    assert 'Beside 1 that others have measured: <a href="leaderboard.html">' in page
    assert leaderboard.RECOMPUTED in (tmp_path / "leaderboard.html").read_text()
