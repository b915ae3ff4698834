"""Vectors from files, rows as files, the page over rows, and the model card."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from test_cli import call

import nslib
from nslib import (
    corpora,
    embeddings,
    leaderboard,
    metrics,
    model_card,
    params,
    precomputed,
    results,
    rows,
    rows_answers,
    splits,
    tasks,
)
from nslib.corpora import manifests
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable, UnknownName

TASK = "style-synthetic"
SETTINGS = params.load({"smoke": True, "corpus": "synthetic"})


@pytest.fixture(scope="module")
def clips():
    return corpora.load_clips(tasks.get(TASK), SETTINGS, progress=False).clips


@pytest.fixture
def vectors(clips):
    rng = np.random.default_rng(0)
    centre = {label: rng.normal(size=8) for label in sorted(clips["label"].unique())}
    return np.stack([centre[label] + 0.3 * rng.normal(size=8) for label in clips["label"]]).astype(np.float32)


def parquet(path, clips, vectors, by="sha256"):
    pd.DataFrame({by: clips[by], "vector": list(vectors)}).to_parquet(path)
    return path


# ------------------------------------------------------------------ precomputed vectors


@pytest.mark.parametrize("kind", ["parquet", "npz"])
@pytest.mark.parametrize("by", ["sha256", "clip_id"])
def test_vectors_of_a_file_score_as_the_same_vectors_from_a_function(tmp_path, clips, vectors, kind, by):
    path = tmp_path / f"mine.{kind}"
    if kind == "parquet":
        parquet(path, clips, vectors, by)
    else:
        np.savez(path, vectors=vectors, **{by: clips[by].to_numpy(str)})
    of = {sha: vector for sha, vector in zip(clips["sha256"], vectors, strict=True)}

    def looked_up(waves):
        return np.stack([of.get(nslib.audio.sha256(wave), np.ones(8, np.float32)) for wave in waves])

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mine = nslib.benchmark(path, TASK, params=SETTINGS, progress=False)
    assert any("names of clips" in str(w.message) for w in told) == (by == "clip_id")
    known = embeddings.from_callable(looked_up, name="looked-up", revision="1", min_samples=1)
    other = nslib.benchmark(known, TASK, params=SETTINGS, progress=False)
    one, two = (r.rows.drop(columns=["embedding", "key", "weights_hash", "when", "fit_seconds"]) for r in (mine, other))
    assert one.equals(two) and set(mine.rows["embedding"]) == {"mine"} and mine.rows["value"].max() > 0.5


def test_a_file_that_lacks_clips_gets_no_score(tmp_path, clips, vectors):
    path = parquet(tmp_path / "v.parquet", clips[3:], vectors[3:])
    first = clips["clip_id"][0]
    with pytest.raises(NslibError, match=rf"no vector of 3 of the {len(clips)} clips, the first {first} .*data clips"):
        precomputed.read(path).extraction(clips)
    ran = nslib.benchmark([path, "logmel"], TASK, params=SETTINGS, progress=False)
    assert ran.not_run["embedding"].tolist() == ["v"] and "no vector of 3" in ran.not_run["why"].iloc[0]
    assert set(ran.rows["embedding"]) == {"logmel"}
    with pytest.raises(Unavailable, match="model itself"):
        precomputed.read(path).embedding.embed(np.zeros((1, 16000), np.float32), np.array([16000]))


def test_vectors_go_by_key_whatever_their_order(tmp_path, clips, vectors):
    turned = slice(None, None, -1)
    found = precomputed.read(parquet(tmp_path / "v.parquet", clips[turned], vectors[turned])).extraction(clips)
    assert (found.vectors == vectors).all() and found.clips["clip_id"].tolist() == clips["clip_id"].tolist()


def test_clips_are_listed_without_labels_and_their_audio_gives_the_very_hash_back(tmp_path, monkeypatch, capsys):
    from nslib import audio, clip_list

    to = ("--out", tmp_path / "c.parquet", "--wav", tmp_path / "wav")
    code, out, _ = call(monkeypatch, capsys, "data", "clips", TASK, "--corpus", "synthetic", "--smoke", *to)
    listed = pd.read_parquet(tmp_path / "c.parquet")
    assert list(listed) == [*clip_list.COLUMNS, "wav"] and len(listed) > 8
    assert [audio.sha256(audio.read(path).wave) for path in listed["wav"]] == listed["sha256"].tolist()
    assert code == 0 and f"{len(listed)} clips of 1 tasks" in out
    changed = listed.assign(sha256="0" * 64)
    with pytest.raises(BadAudio, match="when the clips were listed"):
        clip_list.write_audio(changed, tmp_path / "other")
    with pytest.raises(NslibError, match=r"savee cannot be had here.*data status"):
        clip_list.make(["savee"], params.load({"profile": "paper"}))


def test_a_bad_file_is_told_with_its_row(tmp_path, clips, vectors):
    def read(table, **arrays):
        path = tmp_path / ("v.npz" if arrays else "v.parquet")
        np.savez(path, **arrays) if arrays else table.to_parquet(path)
        return precomputed.read(path)

    rows_of = [list(v) for v in vectors[:3]]
    table = pd.DataFrame({"sha256": list("abc"), "vector": rows_of})
    assert read(table).keys == ("a", "b", "c")
    with pytest.raises(BadParameter, match=r"vector.*sha256 or clip_id"):
        read(table.rename(columns={"sha256": "name"}))
    with pytest.raises(BadParameter, match=r"row 2 .* has 7 numbers, the first has 8"):
        read(table.assign(vector=[rows_of[0], rows_of[1][:7], rows_of[2]]))
    with pytest.raises(BadParameter, match=r"that of b .row 2"):
        read(table.assign(vector=[rows_of[0], [np.nan] * 8, rows_of[2]]))
    with pytest.raises(BadParameter, match=r"rows 1 and 3 .* different vectors for the same sha256, a"):
        read(table.assign(sha256=["a", "b", "a"]))
    assert read(table.assign(sha256=["a", "b", "a"], vector=[rows_of[0], rows_of[1], rows_of[0]])).keys == ("a", "b")
    with pytest.raises(BadParameter, match="3 sha256s and 2 vectors"):
        read(None, sha256=np.array(list("abc")), vectors=vectors[:2])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadParameter, match="cannot be read as Parquet"):
        precomputed.read(tmp_path / "broken.parquet")
    np.savez(tmp_path / "pickled.npz", sha256=np.array(["a"], object), vectors=vectors[:1])
    with pytest.raises(BadParameter, match="without pickles"):
        precomputed.read(tmp_path / "pickled.npz")


# ------------------------------------------------------------------ rows as files


@pytest.fixture
def measured():
    """A result on a task with a manifest, with its hashes."""
    import fabricated

    made = fabricated.rows()
    task = "speaker-fillets"
    manifest = manifests.read_manifest(manifests.manifest_path(task))
    one = made["task"] == made["task"].iloc[0]
    return made[one].assign(task=task, data_hash=splits.data_hash(manifest), split_hash=splits.split_hash(manifest),
                            weights_hash=made.loc[one, "embedding"])


@pytest.fixture
def answered(measured):
    """The same with answers, and with the scores that follow from them: name, rows, answers."""
    rng = np.random.default_rng(3)
    test = manifests.read_manifest(manifests.manifest_path("speaker-fillets")).query("split == 'test'")
    true, speaker = (test[name].to_numpy(str) for name in ("label", "speaker"))
    said = np.where(rng.random(len(true)) < 0.7, true, rng.permutation(true))
    name = measured["embedding"].iloc[0]
    mine = measured[measured["embedding"] == name].copy()
    shown = mine["selected"] & (mine["split"] == "test")
    found = metrics.interval(true, said, speaker, "accuracy", level=0.95, seed=0)
    facts = {"value": float((said == true).mean()), "low": found.low, "high": found.high, "interval_by": found.by,
             "n": len(true), "n_speakers": len(set(speaker) - {""}), "chance": metrics.chance("accuracy", true)}
    for column, value in facts.items():
        mine.loc[shown, column] = value
    given = pd.DataFrame({"clip_id": test["clip_id"], "speaker": speaker, "y_true": true, "y_pred": said})
    return name, mine, given.assign(key=mine["key"].iloc[0])


def test_a_score_follows_from_its_answers_where_it_arrives(answered, tmp_path):
    name, mine, answers = answered
    path = rows.export(mine, name, tmp_path / "a.json", predictions=answers, by="Ada")
    assert rows.read(path)["scores"][0]["answers"]["clip_id"] == answers["clip_id"].tolist()
    kept, notes = rows.adopt(path, mine[:0], tmp_path / "rows")
    assert notes == ["computed again from the answers, and right: speaker-fillets. Whose vectors they were, no file "
                     "can show."]
    table = leaderboard.table(mine[:0], rows.adopted(tmp_path / "rows"))
    assert table["trust"].tolist() == [leaderboard.RECOMPUTED] and kept.exists()
    without = rows.export(mine, name, tmp_path / "b.json")
    assert rows.read(without)["scores"][0]["answers"] is None
    assert leaderboard.table(mine[:0], [rows.read(without)])["trust"].tolist() == [leaderboard.REPORTED]
    own = rows.export(mine.assign(task="mine"), name, tmp_path / "c.json", predictions=answers, tasks=["mine"])
    assert rows.read(own)["scores"][0]["answers"] is None  # names of one's own recordings stay at home


@pytest.mark.parametrize(("change", "said"), [
    (lambda s: s.update(value=s["value"] + 0.01), "value is 0.*, from the answers 0"),
    (lambda s: s.update(low=s["low"] - 0.01), "low is"),
    (lambda s: s.update(n=s["n"] + 1), "n is .*, from the answers"),
    (lambda s: s.update(interval_by="clip" if s["interval_by"] == "speaker" else "speaker"), "interval_by is"),
    (lambda s: s["answers"]["y_pred"].reverse(), "value is"),
    (lambda s: [s["answers"][name].pop() for name in ("clip_id", "y_pred")], "1 lack one, 0 are of other"),
    (lambda s: s["answers"]["clip_id"].__setitem__(0, "nobody"), "1 lack one, 1 are of other"),
    (lambda s: s["answers"].pop("y_pred"), "not one text a clip"),
    (lambda s: s.update(n="many"), "no n that could be read"),
    (lambda s: s.pop("level"), "no level that could be read"),
    (lambda s: s.update(metric="applause"), "applause"),
    (lambda s: s["answers"]["clip_id"].__setitem__(0, s["answers"]["clip_id"][1]), "not one text a clip"),
])
def test_whoever_edits_with_care_and_seals_again_is_found_by_the_answers(answered, tmp_path, change, said):
    name, mine, answers = answered
    path = rows.export(mine, name, tmp_path / "a.json", predictions=answers)
    resealed(path, lambda content: change(content["scores"][0]))
    with pytest.raises(BadParameter, match=said):
        rows.adopt(path, mine, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("change", [
    lambda c: c.update(scores=[]), lambda c: c.update(scores=["good"]), lambda c: c.update(scores=None),
    lambda c: c.update(about=7), lambda c: c.update(dim="8"), lambda c: c.pop("kit")])
def test_what_is_not_formed_as_a_row_is_refused_in_words(answered, tmp_path, change):
    path = rows.export(answered[1], answered[0], tmp_path / "a.json")
    with pytest.raises(BadParameter, match="not formed as a row"):
        rows.read(resealed(path, change))


def test_a_score_on_a_list_of_clips_that_has_changed_since_is_as_reported(answered, tmp_path, monkeypatch):
    name, mine, answers = answered
    path = rows.export(mine, name, tmp_path / "a.json", predictions=answers)
    monkeypatch.setattr(rows_answers, "hashes", lambda clips: ("newer", "newer"))
    assert leaderboard.table(mine[:0], [rows.read(path)])["trust"].tolist() == [leaderboard.REPORTED]


def test_a_row_comes_back_as_it_went(measured, tmp_path):
    name = measured["embedding"].iloc[0]
    path = rows.export(measured, name, tmp_path / "a.json", by="Ada", about="a net")
    content = rows.read(path)
    best = measured[(measured["embedding"] == name) & measured["selected"] & (measured["split"] == "test")].iloc[0]
    assert content["measured_by"] == "Ada" and content["scores"][0]["value"] == best["value"]
    kept, notes = rows.adopt(path, measured[:0], tmp_path / "rows")
    assert rows.adopted(tmp_path / "rows") == [content] and kept.exists()
    assert len(notes) == 1 and notes[0].startswith("as reported") and notes[0].endswith(": speaker-fillets.")
    with pytest.raises(BadParameter, match="'about' has 501 characters"):
        rows.export(measured, name, tmp_path / "a.json", about="x" * 501)


@pytest.mark.parametrize(("change", "said"), [
    (lambda c: c["scores"][0].update(value=c["scores"][0]["high"]), "changed since"),
    (lambda c: c.update(measured_by="Bob"), "changed since"),
    (lambda c: c.update(version=9), "version 9"),
    (lambda c: c.update(format="x"), "no row"),
])
def test_a_changed_file_is_refused(measured, tmp_path, change, said):
    path = rows.export(measured, measured["embedding"].iloc[0], tmp_path / "a.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BadParameter, match=said):
        rows.read(path)


def resealed(path, change):
    content = json.loads(path.read_text())
    content.pop("sha256")
    change(content)
    path.write_text(json.dumps(content | {"sha256": rows._digest(content)}))
    return path


def test_numbers_that_cannot_be_and_other_recordings_are_refused_whatever_the_checksum(measured, tmp_path):
    name = measured["embedding"].iloc[0]
    path = rows.export(measured, name, tmp_path / "a.json")
    with pytest.raises(BadParameter, match=r"cannot be: value 0\.99"):
        rows.read(resealed(path, lambda c: c["scores"][0].update(value=0.99, low=0.1, high=0.2)))
    path = rows.export(measured, name, tmp_path / "a.json")
    with pytest.raises(BadParameter, match="data 0000 and split"):
        rows.adopt(resealed(path, lambda c: c["scores"][0].update(data_hash="0000")), measured, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_what_is_not_of_the_whole_task_is_not_shared(measured, tmp_path):
    with pytest.raises(BadParameter, match="not of all its clips"):
        rows.export(measured.assign(data_hash="part"), measured["embedding"].iloc[0], tmp_path / "a.json")
    with pytest.raises(UnknownName, match="mfc"):
        rows.export(measured, "mfc", tmp_path / "a.json")
    with pytest.raises(BadParameter, match=r"\.json"):
        rows.export(measured, measured["embedding"].iloc[0], tmp_path / "a.txt")


def test_scores_on_recordings_of_ones_own_are_shared_only_when_named(measured, tmp_path, monkeypatch, capsys):
    name, own = measured["embedding"].iloc[0], measured.assign(task="my-patients")
    with pytest.raises(BadParameter, match=r"your own only .my-patients.*--tasks"):
        rows.export(own, name, tmp_path / "a.json")
    both = pd.concat([measured, own])
    for tasks_, there in (((), ["speaker-fillets"]), (("my-patients",), ["my-patients"])):
        content = rows.read(rows.export(both, name, tmp_path / "a.json", tasks=tasks_))
        assert [score["task"] for score in content["scores"]] == there
    with pytest.raises(UnknownName, match="my-patient"):
        rows.export(both, name, tmp_path / "a.json", tasks=["my-patient"])
    monkeypatch.setattr(results, "load", lambda: (both, pd.DataFrame({"key": []})))
    to = tmp_path / "b.json"
    assert call(monkeypatch, capsys, "export-row", name, to, "--tasks", "my-patients, speaker-fillets")[0] == 0
    assert {score["task"] for score in rows.read(to)["scores"]} == {"my-patients", "speaker-fillets"}


def test_a_task_that_is_not_known_here_is_taken_in_with_a_word(measured, tmp_path):
    other = measured.assign(task="their-task")
    path = rows.export(other, other["embedding"].iloc[0], tmp_path / "a.json", tasks=["their-task"])
    assert "could not be compared" in rows.adopt(path, other[:0], tmp_path / "rows")[1][0]
    assert len(rows.adopt(path, other, tmp_path / "rows")[1]) == 1


def test_the_page_tells_own_rows_from_reported_ones(measured, tmp_path):
    name = measured["embedding"].iloc[0]
    path = rows.export(measured, name, tmp_path / "a.json", by="Ada <a@b>")
    rows.adopt(path, measured, tmp_path / "rows")
    page = leaderboard.build(measured, rows.adopted(tmp_path / "rows"), tmp_path).read_text()
    assert "reported by Ada &lt;a@b&gt;" in page and page.count(f">{leaderboard.REPORTED}<") == 1
    assert page.count(leaderboard.HERE) >= 1
    assert "<script" not in page and "http" not in page.split("</style>")[1]
    table = pd.read_csv(tmp_path / "leaderboard.csv")
    assert set(table["by"].str[:8]) == {"measured", "reported"}
    with pytest.raises(NslibError, match="no row yet"):
        leaderboard.build(measured[:0], [], tmp_path)


def test_recordings_of_ones_own_have_no_column_beside_rows_of_others(measured):
    own = measured.assign(task="my-patients")
    assert set(leaderboard.table(pd.concat([measured, own]), [])["task"]) == {"speaker-fillets"}
    assert set(leaderboard.table(own, [])["task"]) == {"my-patients"}


def test_the_report_leads_to_rows_of_others_once_there_are_any(answered, tmp_path):
    from test_report import results as of_a_run

    from nslib import report

    name, mine, answers = answered
    page = report.build(of_a_run(rows=mine), params.load(), out=tmp_path, runs=[]).read_text()
    assert "leaderboard.html" not in page and not (tmp_path / "leaderboard.html").exists()
    path = rows.export(mine, name, tmp_path / "a.json", predictions=answers, by="Ada")
    rows.adopt(path, mine, tmp_path / "rows")
    page = report.build(of_a_run(rows=mine), params.load(), out=tmp_path, runs=[]).read_text()
    assert 'Beside 1 that others have measured: <a href="leaderboard.html">' in page
    assert leaderboard.RECOMPUTED in (tmp_path / "leaderboard.html").read_text()


def test_the_card_has_facts_contract_and_what_was_measured(measured):
    mine = embeddings.get("logmel")
    text = model_card.make(mine, embeddings.check(mine), measured.assign(weights_hash=mine.fingerprint))
    for said in ("# logmel", mine.fingerprint, "keeps the contract", "speaker-fillets", "To be filled in"):
        assert said in text, said
    assert "Nothing yet" in model_card.make(mine, embeddings.check(mine), results.load()[0][:0])


# ------------------------------------------------------------------ models given with options, or by address


def test_options_of_a_file_are_written_behind_its_name(monkeypatch, tmp_path):
    from nslib.cluster import recipes
    from nslib.entrants import enter

    asked = {}
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setattr(recipes.embeddings, "from_file",
                        lambda path, name=None, **options: asked.update(options) or embeddings.get("logmel"))
    enter(f"{tmp_path}/m.onnx?window=0.96&key=layer19&one_by_one=true&min_samples=1600")
    assert asked == {"window": 0.96, "key": "layer19", "one_by_one": True, "min_samples": 1600}


def test_an_address_elsewhere_and_one_without_a_network_are_told(monkeypatch, tmp_path):
    from nslib.entrants import enter

    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    with pytest.raises(BadParameter, match="no address of a model"):
        enter("https://example.org/model.tar.gz")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        enter("https://tfhub.dev/someone/something/1?key=embedding")
