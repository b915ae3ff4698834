"""The protocols: planted data give what was planted, everything left out is named, nothing is computed twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import tone

from nslib import audio, params, probe, protocols, splits, tasks
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.protocols import intervals, plans, rows, running, within
from nslib.schema import PROTOCOL_ROWS

TASK = dataclasses.replace(tasks.get("style-synthetic"), name="planted", caution="")
QUICK = params.load({"seed": 0})
LDA, LOGISTIC = ("LDA_LSQR_AUTO",), ("LogisticRegression",)


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """Results of a test are its own."""
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports" / "results"


def clip_rows(cells):
    """Clip table of ``(speaker, label, split)``, one clip each."""
    clips = pd.DataFrame(cells, columns=["speaker", "label", "split"])
    clips["clip_id"] = [f"{s}-{n:03d}" for n, s in enumerate(clips["speaker"])]
    clips["sha256"] = [f"{n:064x}" for n in range(len(clips))]
    return clips.assign(seconds=1.0, audio="", sample_rate=16000, source="planted")


def personal(speakers=12, takes=6, classes=3, dim=24, seed=0):
    """Everybody says the classes in directions of their own: plain inside a speaker, noise between speakers."""
    rng = np.random.default_rng(seed)
    split = splits.by_group([f"s{i:02d}" for i in range(speakers)], [f"s{i:02d}" for i in range(speakers)],
                            (0.5, 0.25, 0.25))
    cells = [(who, f"c{k}", split[who]) for who in split for k in range(classes) for _ in range(takes)]
    towards = {(who, f"c{k}"): rng.normal(size=dim) for who in split for k in range(classes)}
    x = np.stack([4 * towards[who, label] + rng.normal(size=dim) for who, label, _ in cells])
    return made(clip_rows(cells), x)


def confounded(speakers=24, takes=8, seed=0):
    """Speakers differ much, classes not at all, and everybody mostly says one of the two."""
    rng = np.random.default_rng(seed)
    names = [f"s{i:02d}" for i in range(speakers)]
    split = splits.by_group(names, names, (0.5, 0.25, 0.25))
    cells = [(who, "ab"[(i + (t == 0)) % 2], split[who]) for i, who in enumerate(names) for t in range(takes)]
    place = {who: rng.normal(size=40) for who in names}
    return made(clip_rows(cells), np.stack([6 * place[who] + rng.normal(size=40) for who, _, _ in cells]))


def made(clips, x, name="planted", task=TASK):
    return protocols.material(task, clips, np.asarray(x, np.float32), embedding=name, fingerprint=f"of {name}")


def one(results, protocol):
    found = results.summary(protocol)
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture(scope="module")
def mine():
    return personal()


def run_within(given, **settings):
    """The protocol on one split with one fast probe, unless said otherwise."""
    usual = {"split_numbers": (666,), "probes": LDA}
    return protocols.within_speaker(given, params=QUICK, progress=False, **usual | settings)


def test_what_is_personal_is_learnt_inside_a_speaker_and_not_between():
    given = personal(24)
    inside = one(run_within(given), "within-speaker")
    between = one(protocols.repeated(given, params=QUICK, seeds=range(4), probes=LDA, progress=False), "repeated")
    assert inside["value"] > 0.9 and inside["low"] > 0.8
    assert between["value"] < 0.5 and between["low"] < 1 / 3 < between["high"]
    assert inside["chance"] == pytest.approx(1 / 3) and inside["interval_by"] == "speaker"
    assert (inside["n_speakers"], inside["shared_speakers"], between["shared_speakers"]) == (24, 24, 0)


def test_a_split_by_clip_flatters_where_speaker_and_label_go_together():
    found = protocols.switch(confounded(), params=QUICK, draws=3, probes=LDA, progress=False)
    values = found.summary().set_index("protocol")["value"]
    assert values["by-clip"] > 0.8 and values["by-speaker"] < 0.65
    assert values["by-clip-8-shot"] < values["by-clip"]
    shared = found.summary().set_index("protocol")["shared_speakers"]
    assert shared["by-speaker"] == shared["by-speaker-8-shot"] == 0 < shared["by-clip"]
    assert any("by-clip is no result" in note for note in found.notes)


@pytest.mark.filterwarnings("ignore:Only one sample")
def test_the_numbers_are_those_of_a_plain_loop(mine):
    """Split 666 computed again with nothing but scikit-learn: choice, score, legacy best and each speaker."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import normalize

    found = run_within(mine).rows
    label, speaker = mine.label, mine.speaker
    split = splits.within_group(mine.clip_id.tolist(), speaker)
    part = np.array([split[name] for name in mine.clip_id])
    scores = {}
    for l2 in (False, True):
        x = normalize(mine.vectors.astype(float)) if l2 else mine.vectors.astype(float)
        for who in np.unique(speaker):
            train, *asked = [(speaker == who) & (part == name) for name in splits.SPLITS]
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x[train], label[train])
            scores[l2, who] = [(model.predict(x[rows]) == label[rows]).mean() for rows in asked]
    means = {l2: np.mean([scores[l2, who] for who in np.unique(speaker)], axis=0) for l2 in (False, True)}
    best = max((False, True), key=lambda l2: means[l2][0])
    split_rows = found[(found["split_number"] == "666") & (found["speaker"] == "")].set_index("l2")
    for l2 in (False, True):
        assert split_rows.loc[l2, ["validation", "value"]].tolist() == pytest.approx(means[l2].tolist())
    assert split_rows.index[split_rows["selected"]].tolist() == [best]
    each = found[(found["speaker"] != "")].set_index("speaker")["value"]
    assert each.to_dict() == pytest.approx({who: scores[best, who][1] for who in np.unique(speaker)})
    over_all = found[(found["split_number"] == "")]
    assert over_all["value"].tolist() == pytest.approx([means[best][1], max(m[1] for m in means.values())])
    assert over_all["best_on_test"].tolist() == [False, True] and np.isnan(over_all["low"].iloc[1])


def test_speakers_count_alike_however_many_clips_they_have():
    small, talker = personal(6, takes=4, seed=1), clip_rows([("talker", f"c{i % 2}", "") for i in range(120)])
    clips = pd.concat([small.clips, talker], ignore_index=True)
    clips["sha256"] = [f"{i:064x}" for i in range(len(clips))]
    noise = np.random.default_rng(0).normal(size=(120, 24))  # the talker's classes cannot be told apart
    found = run_within(made(clips, np.concatenate([small.vectors, noise])))
    each = protocols.by_speaker(found.rows).set_index("speaker")["value"]
    assert one(found, "within-speaker")["value"] == pytest.approx(each.mean())
    by_clip = (found.answers["y_true"] == found.answers["y_pred"]).mean()
    assert abs(each.mean() - by_clip) > 0.05


def test_the_order_of_clips_and_the_number_of_jobs_change_nothing(mine):
    order = np.random.default_rng(0).permutation(len(mine.clips))
    shuffled = made(mine.clips.iloc[order], mine.vectors[order])
    settings = within.DEFAULTS | {"split_numbers": (666,), "seed": 0}
    one, two = within.compute(mine, **settings, jobs=1), within.compute(shuffled, **settings, jobs=2)
    pd.testing.assert_frame_equal(one.rows, two.rows)
    pd.testing.assert_frame_equal(one.answers.reset_index(drop=True), two.answers.reset_index(drop=True))


def test_who_cannot_be_used_is_counted_and_named(mine):
    extra = clip_rows([("few", "c0", ""), ("few", "c1", ""), *[("single", "c2", "")] * 6, *[("", "c0", "")] * 2])
    extra["clip_id"] = "z" + extra["clip_id"]
    extra["sha256"] = "z" + extra["sha256"]
    given = made(pd.concat([mine.clips, extra]), np.concatenate([mine.vectors, np.ones((10, 24))]))
    found = run_within(given, split_numbers=(666, 1))
    said = "\n".join(found.notes)
    assert "2 of 226 clips were left out: their speaker is not known." in said
    assert "1 of 14 speakers have fewer than 3 clips and were left out: few." in said
    assert "because their training part holds one class only: single (in 2)." in said
    assert "No z-score by speaker" in said
    assert set(protocols.by_speaker(found.rows)["speaker"]) == set(mine.speaker)


def test_where_everybody_says_one_label_there_is_nothing_to_learn_inside_a_speaker(mine):
    with pytest.raises(Unavailable, match=r"12 of 12 speakers were left out .* one class only: s00 .in 1., .* 4 more"):
        run_within(made(mine.clips.assign(label=np.where(mine.clips["speaker"] < "s06", "a", "b")), mine.vectors))


def test_labels_that_a_speakers_training_lacks_count_as_wrong_and_are_said():
    given = personal(6, takes=1, classes=4)
    found = run_within(given, split_numbers=(0, 1), probes=LOGISTIC)
    assert "12 of 12 test answers cannot be right" in "\n".join(found.notes)
    assert one(found, "within-speaker")["value"] == 0


def test_a_cap_on_training_clips_keeps_a_subset_and_learns_less(mine):
    few, more, full = (plans.plan(mine, 666, shots, (0.6, 0.2, 0.2)) for shots in (1, 2, 0))
    for who, part in full.parts.items():
        assert set(few.parts[who]["train"]) < set(more.parts[who]["train"]) < set(part["train"])
        assert len(few.parts[who]["train"]) == 3
        assert np.array_equal(few.parts[who]["test"], part["test"])
    capped = one(run_within(mine, shots=1, probes=LOGISTIC), "within-speaker")
    assert capped["shots"] == 1 and capped["n_train"] == 3


def test_a_clip_without_a_vector_leaves_the_split_of_all_others_as_it_was(mine):
    first, second = list(plans.plan(mine, 666, 0, (0.6, 0.2, 0.2)).parts.values())[:2]
    lost = mine.clip_id[[first["test"][0], first["train"][1], second["validation"][0]]]
    kept = ~mine.clips["clip_id"].isin(lost)
    given = protocols.material(TASK, mine.clips[kept], mine.vectors[kept], embedding="lossy", fingerprint="x",
                               listed=mine.clips)
    whole, lossy = (plans.plan(each, 666, 0, (0.6, 0.2, 0.2)) for each in (mine, given))
    for who, part in whole.parts.items():
        for name, rows_ in part.items():
            assert set(given.clip_id[lossy.parts[who][name]]) == set(mine.clip_id[rows_]) - set(lost)
    results = [run_within(each) for each in (mine, given)]
    answers = pd.concat([r.answers for r in results], ignore_index=True)
    assert protocols.difference(answers, "planted", "planted", "lossy").by == "speaker"
    assert len(results[1].answers) == len(results[0].answers) - 1


def test_a_probe_that_cannot_be_fitted_is_not_chosen_and_says_why(mine):
    found = run_within(mine, shots=1, probes=protocols.FAST)
    failed = found.rows[found.rows["probe"] == "LDA_LSQR_AUTO"]
    assert failed["value"].isna().all() and failed["reason"].str.contains("samples").all()
    assert any("LDA_LSQR_AUTO could not be fitted to every speaker" in note for note in found.notes)
    with pytest.raises(NslibError, match=r"no probe could be fitted .*samples"):
        run_within(mine, shots=1)


@pytest.mark.parametrize(("shares", "error", "words"), [
    ((0.5, 0.0, 0.5), NslibError, "leave a share for validation"),
    ((0.5, 0.5, 0.0), Unavailable, "nothing of them is left for the test"),
    ((0.5, 0.1, 0.1), BadParameter, "sum to 1")])
def test_shares_that_leave_a_part_empty(mine, shares, error, words):
    with pytest.raises(error, match=words):
        run_within(mine, probabilities=shares)


@pytest.mark.parametrize(("settings", "error"), [
    ({"split_numbers": ()}, BadParameter), ({"split_numbers": (1, 1)}, BadParameter), ({"shots": -1}, BadParameter),
    ({"probes": ()}, BadParameter), ({"probes": ("LDA",)}, UnknownName)])
def test_bad_settings_are_refused(mine, settings, error):
    with pytest.raises(error):
        run_within(mine, **settings)


@pytest.mark.parametrize("protocol", [protocols.within_speaker, protocols.repeated, protocols.switch])
def test_tasks_for_which_a_protocol_is_not_defined(protocol, mine):
    asked = {
        "the label is the speaker": made(mine.clips.assign(label=mine.clips["speaker"]), mine.vectors),
        "no clip says who speaks": made(mine.clips.assign(speaker=""), mine.vectors),
        "scored by auc": made(mine.clips, mine.vectors, task=dataclasses.replace(TASK, metric="auc")),
    }
    for words, given in asked.items():
        with pytest.raises(Unavailable, match=words):
            protocol(given, params=QUICK, probes=LDA, progress=False)


def test_material_is_checked(mine):
    with pytest.raises(BadParameter, match="one vector a clip"):
        made(mine.clips, mine.vectors[1:])
    with pytest.raises(BadParameter, match="come twice"):
        made(mine.clips.assign(clip_id="x"), mine.vectors)
    broken = mine.vectors.copy()
    broken[3, 0] = np.nan
    with pytest.raises(NslibError, match=mine.clips["clip_id"][3]):
        made(mine.clips, broken)


def test_repeated_draws_as_many_speakers_as_the_own_split_and_averages(mine):
    found = protocols.repeated(mine, params=QUICK, seeds=range(5), probes=LDA, progress=False)
    each = found.rows[found.rows["selected"] & (found.rows["split_number"] != "")]
    assert each["split_number"].tolist() == list("01234") and set(each["n_speakers"]) == {3}
    assert set(each["n_train"]) == {6 * 18}
    over_all = one(found, "repeated")
    assert over_all["value"] == pytest.approx(each["value"].mean())
    assert over_all["spread"] == pytest.approx(each["value"].std())
    assert over_all["splits"] == 5 and over_all["low"] <= over_all["value"] <= over_all["high"]
    legacy = found.rows[(found.rows["split_number"] == "") & found.rows["best_on_test"]]
    assert legacy["value"].iloc[0] >= over_all["value"]


def test_one_repeated_split_is_the_grid_on_that_split(mine):
    found = protocols.repeated(mine, params=QUICK, seeds=(3,), probabilities=(0.6, 0.2, 0.2), probes=LDA,
                               progress=False)
    split = splits.by_group(mine.clip_id.tolist(), mine.speaker, (0.6, 0.2, 0.2), seed=3)
    part = np.array([split[name] for name in mine.clip_id])
    columns = [mine.label, mine.speaker, mine.clip_id]
    parts = [probe.Split(mine.vectors[part == p], *(c[part == p] for c in columns)) for p in splits.SPLITS]
    grid = probe.grid(*parts, probes=LDA)
    test = grid.rows[grid.rows["split"] == "test"]
    own = found.rows[found.rows["split_number"] == "3"]
    for name in ("probe", "l2", "speaker_norm", "value", "low", "high", "selected", "best_on_test", "chance", "n"):
        assert own[name].tolist() == test[name].tolist(), name


def test_a_split_that_lacks_a_class_is_scored_and_counted():
    given = personal(8, takes=4)
    clips = given.clips.copy()
    clips.loc[clips["speaker"] == "s03", "label"] = "rare"
    found = protocols.repeated(made(clips, given.vectors), params=QUICK, seeds=range(4), probes=LDA, progress=False)
    assert one(found, "repeated")["splits"] == 4
    assert any("lacks rare; scored all the same." in note for note in found.notes)
    clips["label"] = np.where(clips["speaker"].isin(["s00", "s01", "s02", "s03"]), "b", "a")
    found = protocols.repeated(made(clips, given.vectors), params=QUICK, seeds=range(12), probes=LDA, progress=False)
    lost = found.rows[(found.rows["reason"] != "") & (found.rows["probe"] == "")]
    assert 0 < len(lost) < 12 and lost["value"].isna().all() and lost["reason"].str.contains("of 1 classes").all()
    assert any(f"repeated: {len(lost)} of 12 splits could not be scored" in note for note in found.notes)
    assert one(found, "repeated")["splits"] == 12 - len(lost)


def test_repeated_needs_three_speakers_and_a_share_for_each_part():
    two = personal(3)
    clips = two.clips.assign(speaker=two.clips["speaker"].replace("s02", "s01"))
    with pytest.raises(Unavailable, match="it has 2 speakers"):
        protocols.repeated(made(clips, two.vectors), params=QUICK, probes=LDA, progress=False)
    with pytest.raises(Unavailable, match="without speakers"):
        protocols.repeated(made(two.clips.assign(split="train"), two.vectors), params=QUICK, probes=LDA, progress=False)


def test_the_four_protocols_are_what_they_are_said_to_be(mine):
    found = protocols.switch(mine, params=QUICK, shots=5, draws=2, probes=LDA, progress=False)
    facts = found.rows[found.rows["selected"]].set_index(["protocol", "split_number"])
    names = ["by-speaker", "by-speaker-5-shot", "by-clip", "by-clip-5-shot"]
    assert found.summary()["protocol"].tolist() == names
    train = {p: int((mine.clips["split"] == p).sum()) for p in splits.SPLITS}
    assert facts.loc[("by-speaker", "own"), ["n_train", "n"]].tolist() == [train["train"], train["test"]]
    for draw in "01":
        assert facts.loc[("by-clip", draw), ["n_train", "n"]].tolist() == [train["train"], train["test"]]
        for few in ("by-speaker-5-shot", "by-clip-5-shot"):
            assert facts.loc[(few, draw), ["n_train", "shots", "n"]].tolist() == [15, 5, train["test"]]
    answers = found.answers
    tested = {p: set(part["clip_id"]) for p, part in answers[answers["split_number"] != "1"].groupby("protocol")}
    own = set(mine.clips[mine.clips["split"] == "test"]["clip_id"])
    assert tested["by-speaker"] == tested["by-speaker-5-shot"] == own
    assert tested["by-clip"] == tested["by-clip-5-shot"] != tested["by-speaker"]
    assert not found.rows["speaker_norm"].any()


def test_switch_refuses_what_it_cannot_compare(mine):
    shared = mine.clips.copy()
    shared.loc[0, "split"] = "test" if shared.loc[0, "split"] == "train" else "train"
    with pytest.raises(Unavailable, match="shares speakers between parts: s00"):
        protocols.switch(made(shared, mine.vectors), params=QUICK, probes=LDA, progress=False)
    with pytest.raises(BadParameter, match="1 or more"):
        protocols.switch(mine, params=QUICK, shots=0, probes=LDA, progress=False)
    scarce = protocols.switch(mine, params=QUICK, shots=50, draws=1, probes=LDA, progress=False)
    assert any("all of which were used: c0 (36), c1 (36), c2 (36)." in note for note in scarce.notes)


def test_a_by_clip_score_never_enters_a_table(mine):
    found = protocols.switch(mine, params=QUICK, draws=1, probes=LDA, progress=False)
    assert list(found.table("by-speaker").columns) == ["metric", "chance", "interval over", "planted"]
    for name in ("by-clip", "by-clip-8-shot"):
        with pytest.raises(BadParameter, match="is no result"):
            found.table(name)
    assert found.table("within-speaker").empty


def test_a_second_call_reads_what_the_first_one_wrote(mine, monkeypatch, reports):
    first = run_within(mine)
    monkeypatch.setattr(within, "fit", lambda *a, **k: pytest.fail("fitted again"))
    second = run_within(mine)
    pd.testing.assert_frame_equal(first.rows, second.rows)
    pd.testing.assert_frame_equal(first.answers, second.answers)
    assert first.notes == second.notes and [c.name for c in PROTOCOL_ROWS] == list(first.rows.columns)
    kept, answers = protocols.load()
    pd.testing.assert_frame_equal(kept, first.rows)
    assert len(answers) == len(first.answers)
    assert sorted(p.suffixes[0] for p in reports.iterdir()) == [".answers", ".protocol"]


def test_the_key_follows_everything_that_decides(mine, monkeypatch):
    given = {"protocol": "within-speaker", "task": "t", "embedding": "e", "clips": mine.clips, "weights_hash": "w",
             "settings": {"shots": 0, "split_numbers": (666,)}}
    first = rows.key(**given)
    assert rows.key(**given | {"clips": mine.clips[::-1]}) == first
    assert rows.key(**given | {"settings": {"split_numbers": [666], "shots": 0}}) == first
    changed = [given | {name: "other"} for name in ("protocol", "task", "embedding", "weights_hash")]
    changed += [given | {"settings": {"shots": 1, "split_numbers": (666,)}}, given | {"listed": mine.listed[1:]}]
    assert rows.key(**given, listed=mine.listed) == first
    changed += [given | {"clips": mine.clips.assign(**{c: mine.clips[c] + "x"})} for c in (
        "clip_id", "sha256", "label", "speaker", "split")]
    keys = [rows.key(**each) for each in changed]
    monkeypatch.setattr(rows, "_code_hash", lambda: "other code")
    assert len({first, *keys, rows.key(**given)}) == len(keys) + 2


def test_every_module_that_computes_is_part_of_the_key():
    modules = {path.stem for path in Path(rows.__file__).parent.glob("*.py")}
    assert modules - set(rows._DECIDES) == {"__init__", "found", "rows", "running"}


def test_a_damaged_file_is_named_and_computed_again(mine, reports):
    first = run_within(mine)
    path = next(reports.glob("*.protocol.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="computed again"):
        again = run_within(mine)
    assert again.rows["value"].equals(first.rows["value"])
    assert len(protocols.load()[0]) == len(first.rows)


def test_keys_that_do_not_belong_together_are_refused(mine):
    found = run_within(mine)
    with pytest.raises(BadParameter, match="one result at a time"):
        rows.save(found.rows, found.answers.assign(key="other"))
    with pytest.raises(BadParameter, match="letters and digits"):
        rows.find("../x")


def test_paired_differences_tell_apart_what_differs(mine):
    rng = np.random.default_rng(3)
    blurred = made(mine.clips, mine.vectors + rng.normal(0, 25, mine.vectors.shape), "blurred")
    twin = made(mine.clips, mine.vectors, "twin")
    found = [run_within(each, split_numbers=(666, 0)) for each in (mine, blurred, twin)]
    answers = pd.concat([each.answers for each in found], ignore_index=True)
    better = protocols.difference(answers, "planted", "planted", "blurred")
    worse = protocols.difference(answers, "planted", "blurred", "planted")
    assert better.low > 0 and better.by == "speaker" and better.diff > 0.2
    assert (worse.diff, worse.high) == pytest.approx((-better.diff, -better.low), abs=0.02)
    same = protocols.difference(answers, "planted", "planted", "twin")
    assert same.diff == 0 and same.low < 0 < same.high
    with pytest.raises(BadParameter, match="nobody has no within-speaker answers"):
        protocols.difference(answers, "planted", "planted", "nobody")
    with pytest.raises(BadParameter, match="paired clip by clip"):
        intervals.difference(found[0].answers, found[1].answers[1:], of_speakers=True)


def test_a_baseline_is_chosen_on_validation_and_every_other_embedding_gets_a_verdict(mine):
    rng = np.random.default_rng(3)
    noises = {"planted": 0, "twin": 0, "worse": 6, "worst": 40}
    given = [made(mine.clips, mine.vectors + rng.normal(0, n, mine.vectors.shape), e) for e, n in noises.items()]
    kept = rows.join([(r.rows, r.answers) for r in map(run_within, given)])
    found = protocols.against(*kept, ["worse", "worst"]).set_index("embedding")
    assert found["baseline"].tolist() == ["worse", "worse"] and found["verdict"].tolist() == ["holds", "holds"]
    found = protocols.against(*kept, ["twin", "worst"]).set_index("embedding")
    assert found["verdict"].to_dict() == {"planted": "undecided", "worse": "does not hold"}
    assert protocols.against(*kept, ["nobody"]).empty and protocols.against(*rows.join([]), ["twin"]).empty


def table_of(right, split="0"):
    """Answers from ``{speaker: [right, ...]}``."""
    return pd.DataFrame([(split, who, f"{who}{i}", "a", "a" if hit else "b") for who, hits in right.items()
                         for i, hit in enumerate(hits)],
                        columns=["split_number", "speaker", "clip_id", "y_true", "y_pred"])


def test_the_two_means_by_hand():
    answers = pd.concat([table_of({"x": [1, 1, 1, 0], "y": [0]}, "0"), table_of({"x": [1, 0]}, "1")])
    assert intervals.accuracy(answers, of_speakers=True) == pytest.approx(((0.75 + 0.5) / 2 + 0) / 2)
    assert intervals.accuracy(answers, of_speakers=False) == pytest.approx((3 / 5 + 1 / 2) / 2)
    for of_speakers in (True, False):
        found = intervals.interval(answers, of_speakers=of_speakers)
        assert found.by == "clip" and found.low < intervals.accuracy(answers, of_speakers=of_speakers) < found.high


@pytest.mark.parametrize(("speakers", "of_speakers"), [(3, True), (12, True), (12, False)])
def test_intervals_hold_the_truth_as_often_as_they_say(of_speakers, speakers):
    """Speakers differ (Beta), each of three splits tests 5 of a speaker's 24 clips; two embeddings that are equal."""
    rng, held, told_apart, runs = np.random.default_rng(5), 0, 0, 60
    for _ in range(runs):
        skill = rng.beta(6, 3, speakers) if speakers > 3 else np.full(speakers, 2 / 3)
        parts = []
        for split in range(3):
            cells = [(who, clip) for who in range(speakers) for clip in rng.permutation(24)[:5]]
            parts.append(pd.DataFrame(cells, columns=["who", "clip"]).assign(split_number=str(split)))
        both = pd.concat(parts, ignore_index=True)
        both["speaker"] = both["who"].astype(str)
        both["clip_id"] = both["speaker"] + "-" + both["clip"].astype(str)
        sure = rng.uniform(size=(2, speakers, 24)) < skill[:, None]
        first, second = (both.assign(y_true="a", y_pred=np.where(side[both["who"], both["clip"]], "a", "b"))
                         for side in sure)
        found = intervals.interval(first, of_speakers=of_speakers, resamples=200)
        held += found.low <= 2 / 3 <= found.high
        gap = intervals.difference(first, second, of_speakers=of_speakers, resamples=200)
        told_apart += not gap.low <= 0 <= gap.high
        assert found.by == gap.by == ("speaker" if speakers >= 5 else "clip")
    assert held >= 0.9 * runs and told_apart <= 0.08 * runs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of tones from six speakers, and a folder in which each speaker is a label."""
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "pitches"
    for label, hertz in (("low", 200), ("high", 2000)):
        for speaker in range(6):
            (home / label / f"s{speaker}").mkdir(parents=True)
            for take in range(4):
                wave = tone(0.6 + 0.1 * take, hertz * (1 + 0.02 * speaker), seed=10 * speaker + take)
                audio.write_wav(home / label / f"s{speaker}" / f"{take}.wav", wave)
    return home


def test_from_a_folder_to_a_table(folder):
    found = protocols.within_speaker("logmel", folder, params=QUICK, probes=LDA, progress=False)
    value = one(found, "within-speaker")["value"]
    assert value > 0.9 and found.table().loc["pitches", "logmel"].startswith(f"{value:.2f} [")


def test_a_pair_that_cannot_run_leaves_the_others_running(folder):
    def broken(waves):
        return np.full((len(waves), 3), np.nan if waves.std() > 0.2 else 1.0, np.float32)

    found = protocols.run("within-speaker", ["logmel", broken], [folder], QUICK, probes=LDA, progress=False)
    assert found.summary()["embedding"].tolist() == ["logmel"]
    assert found.not_run[["task", "embedding"]].to_numpy().tolist() == [["pitches", "broken"]]
    assert "no vector" in found.not_run["why"][0]
    with pytest.raises(Unavailable, match="within-speaker of broken on pitches"):
        protocols.within_speaker(broken, folder, params=QUICK, probes=LDA, progress=False)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: protocols.run("within"), UnknownName, "within-speaker"),
    (lambda: protocols.run("repeated", shots=3), UnknownName, "setting of repeated"),
    (lambda: protocols.run("switch", "logmell", "style-synthetic"), UnknownName, "logmel"),
    (lambda: protocols.within_speaker("logmel"), BadParameter, "give a task"),
    (lambda: protocols.within_speaker(personal(3), "style-synthetic"), BadParameter, "brings its own task")])
def test_calls_that_cannot_be_meant(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(("given", "asked"), [
    ({}, ["style-synthetic"]), ({"profile": "paper"}, ["crema_d", "savee"]),
    ({"profile": "paper", "tasks": "savee,voxceleb"}, ["savee"]), ({"tasks": "word-synthetic"}, None)])
def test_without_names_the_personalised_tasks_of_the_profile_are_run(given, asked, monkeypatch):
    seen = []
    monkeypatch.setattr(running.measure, "load_tasks", lambda wanted, *_: seen.extend(wanted) or [])
    found = protocols.run("within-speaker", "logmel", params=params.load(given), probes=LDA, progress=False)
    assert seen == (asked or []) and found.rows.empty and found.summary().empty
    assert found.notes == ([] if asked else ["None of the tasks of this run is asked within speakers."])
