"""Splits: the authors' actor lists as golden values, hashes that see what matters; the audit finds what is planted."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nslib import audio
from nslib.datasets import splits
from nslib.datasets.card import audit_clips
from nslib.datasets.splits import SPLITS
from nslib.errors import BadParameter

ACTORS = [str(actor) for actor in range(1001, 1092)]


def test_actors_of_crema_d_and_savee_are_those_of_tfds():
    split = splits.split_by_group(ACTORS, ACTORS)
    for part, actors in (("validation", [15, 20, 21, 30, 50, 70, 79, 89, 90]), ("test", [
            10, 13, 22, 26, 37, 38, 40, 45, 47, 48, 59, 65, 66, 68, 71, 73, 84, 86, 88])):
        assert [int(actor) - 1000 for actor in ACTORS if split[actor] == part] == actors
    actors = ["JE", "DC", "KL", "JK"] * 3
    split = splits.split_by_group(range(12), actors, (0.6, 0.2, 0.2))
    expected = {"DC": "test", "JE": "validation", "JK": "train", "KL": "train"}
    assert split == {i: expected[actor] for i, actor in enumerate(actors)}


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=3), st.randoms(), st.integers(0, 5))
def test_groups_stay_whole_in_any_order_of_items(groups, random, seed):
    items = list(enumerate(groups))
    assume(len(set(groups)) >= 3)
    split = splits.split_by_group(items, groups, seed=seed)
    assert len({(group, split[item]) for item, group in zip(items, groups, strict=True)}) == len(set(groups))
    shuffled = random.sample(items, len(items))
    assert splits.split_by_group(shuffled, [group for _, group in shuffled], seed=seed) == split


@pytest.mark.parametrize(("arguments", "message"), [
    ((["a"], []), "1 items but 0 groups"), ((["a", "a"], ["x", "y"]), "two groups"),
    (([1, 2], [1, 2]), "2 groups cannot fill 3 splits"), ((ACTORS, ACTORS, (0.5, 0.5)), "one probability for each"),
    ((ACTORS, ACTORS, (1.5, -0.7, 0.2)), ">= 0")])
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(BadParameter, match=message):
        splits.split_by_group(*arguments)


@pytest.mark.parametrize(("number", "digest"), [(666, "1a618baf74adf79b"), (0, "aefceab2eeb9cb23")])
def test_within_group_is_the_authors_algorithm_re_derived(number, digest):
    """Digests from a Mersenne Twister and a shuffle written from their definitions: one generator for all groups."""
    sizes = {"KL": 15, "DC": 7, "two": 2, "JE": 30, "three": 3}  # "two" is passed over undrawn
    clips = [f"{who}{i:02d}" for who, n in sizes.items() for i in range(n)]
    placed = splits.split_within_group(clips, [clip[:-2] for clip in clips], split_number=number)
    assert hashlib.sha256(json.dumps(list(placed.items())).encode()).hexdigest()[:16] == digest


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_within_group_splits_every_group_alike(groups, number):
    found = splits.split_within_group(range(len(groups)), groups, split_number=number)
    few = splits.count_small_groups(range(len(groups)), groups)
    for group in set(groups):
        parts = [found.get(i) for i, g in enumerate(groups) if g == group]
        assert (None in parts) == (str(group) in few) == (len(parts) < 3)
        if None not in parts:
            assert abs(parts.count("train") - 0.6 * len(parts)) <= 1 and set(parts) == set(SPLITS)


def sound():
    """A clip table without a fault: two labels, three speakers a split, every clip of its own audio."""
    rows = [(label, f"{split}{i}", split) for split in SPLITS for i in range(3) for label in ("yes", "no")]
    clips = pd.DataFrame(rows, columns=["label", "speaker", "split"])
    return clips.assign(clip_id=[f"clip{i}" for i in range(18)], sha256=[f"{i:064x}" for i in range(18)], seconds=2.0)


def test_hashes_ignore_order_and_names_only():
    clips = sound()
    renamed = clips.sample(frac=1, random_state=0).assign(clip_id="x")
    assert splits.hash_split(renamed) == splits.hash_split(clips)
    assert splits.hash_data(renamed.assign(label="z", split="train")) == splits.hash_data(clips)
    assert splits.hash_split(pd.concat([clips, clips[:1]])) != splits.hash_split(clips)
    for column in ("sha256", "label", "speaker", "split"):
        assert splits.hash_split(clips.assign(**{column: "other"})) != splits.hash_split(clips)
    one = clips[:1].assign(label="ab", speaker="c")
    assert splits.hash_split(one) != splits.hash_split(one.assign(label="a", speaker="bc"))
    # folds and texts are hashed where there are any
    assert splits.hash_split(clips.assign(fold="", text=None)) == splits.hash_split(clips)
    folded = clips.assign(fold=[i % 3 for i in range(18)])
    hashes = {splits.hash_split(t) for t in (clips, folded, folded.assign(text="x"), clips.assign(text="x"))}
    assert len(hashes) == 4 and splits.hash_split(folded.assign(fold=folded["fold"].astype(str))) in hashes
    assert splits.hash_data(folded) == splits.hash_data(clips)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "a", "b", "c", "d"]),
                          st.sampled_from(["", "hi", "ho", "ha", "he", "hu"])), max_size=40),
       st.booleans(), st.booleans())
def test_a_fold_is_tested_by_what_has_heard_neither_its_speakers_nor_its_texts(rows, by_speaker, as_text):
    """Every clip is in one place at most, and why a clip is not in training is told by its own speaker and text."""
    rows = [*rows, *((fold, f"s{fold}", "") for fold in range(5))]
    clips = pd.DataFrame(rows, columns=["fold", "speaker", "text"], index=[f"r{i}" for i in range(len(rows))])
    clips = clips.astype({"fold": str}) if as_text else clips
    assert splits.count_folds(clips) == 5
    tested = []
    for fold in range(5):
        parts = splits.divide_fold(clips, fold, by_speaker=by_speaker)
        assert set(parts) == {*SPLITS, "left_out"}
        tested += parts["test"].tolist()
        after = (fold + 1) % 5
        heard = [row for row in rows if row[0] in (fold, after)]
        for place, (own, speaker, text) in enumerate(rows):
            known = by_speaker and speaker and speaker in {s for _, s, _ in heard}
            said = text and text in {t for _, _, t in heard}
            expected = {fold: "test", after: "validation"}.get(own) or (
                "" if known else "left_out" if said else "train")
            assert [name for name, places in parts.items() if place in places] == ([expected] if expected else [])
    assert sorted(tested) == list(range(len(rows)))


def test_tables_without_folds_have_none_and_bad_folds_are_refused():
    clips = sound()
    assert splits.count_folds(clips) == splits.count_folds(clips.assign(fold="")) == 0
    partly = clips.assign(fold=["0", "1", "2", *[""] * 15], speaker="", text="")
    assert [len(places) for places in splits.divide_fold(partly, 1).values()] == [1, 1, 16, 0]
    for folds, said in (("01", "at least 3"), ("013", "'0', '1', '3'"), ("abc", "'a', 'b'")):
        with pytest.raises(BadParameter, match=said):
            splits.count_folds(clips.assign(fold=list(folds) * (18 // len(folds))))
    for table, fold, said in ((clips, 0, "no clip has one"), (partly, 3, "0 to 2"), (partly, -1, "0 to 2")):
        with pytest.raises(BadParameter, match=said):
            splits.divide_fold(table, fold)


def problem(clips):
    return " ".join(audit_clips(clips).problems)


def test_a_sound_split_has_no_problems():
    audit = audit_clips(sound())
    assert audit.problems == audit.notes == ()
    assert audit.table.loc["train"].tolist() == [6, pytest.approx(0.2), 3, 2, 3, 3]
    assert audit.classes.loc["yes"].to_dict() == {"train": 3, "validation": 3, "test": 3, "speakers": 9}


def test_shared_speaker_and_audio_in_two_splits_and_twice_in_one_are_found():
    clips = sound()
    clips.loc[clips["speaker"] == "test1", "speaker"] = "train0"
    assert problem(clips) == "1 speaker is in more than one split: train0."
    assert audit_clips(clips).shared_speakers.loc["train0"].tolist() == [2, 0, 2]
    clips = sound()
    clips.loc[16, "sha256"] = clips.loc[0, "sha256"]
    assert problem(clips) == "1 recording is in more than one split: clip0, clip16."
    clips = sound()
    clips.loc[2, "sha256"] = clips.loc[0, "sha256"]
    assert problem(clips) == "1 clip has the same audio as another clip of the same split: clip2."
    clips.loc[2, "label"] = "no"
    assert "1 recording has more than one label." in problem(clips)


@pytest.mark.parametrize(("split", "why"), [("train", "cannot be learnt"), ("test", "is not scored"),
                                            ("validation", "when the classifier is chosen")])
def test_absent_class_is_found(split, why):
    rare = sound().query("split != @split").replace({"clip_id": "^", "sha256": "^"}, "m", regex=True)
    message = problem(pd.concat([sound(), rare.assign(label="maybe")], ignore_index=True))
    assert message.startswith(f"1 class is absent from {split}") and why in message and "maybe" in message


def test_class_of_one_speaker_is_found_unless_the_label_is_the_speaker():
    clips = sound()
    clips.loc[clips["label"] == "no", "speaker"] = "only"
    assert "may be recognised instead of the class: no." in problem(clips)
    found = audit_clips(clips.assign(speaker=clips["label"]))
    assert found.problems == () and "label is the speaker" in found.notes[0]


def test_unknown_values_are_counted_an_empty_table_and_a_missing_column_said_and_of_folds_clips_may_be_in_no_split():
    found = audit_clips(sound().assign(speaker=None))
    assert found.problems == () and found.notes == ("The speaker of 18 clips is not known.",)
    clips = sound()
    clips.loc[0, "split"], clips.loc[1, "seconds"], clips.loc[2, "clip_id"] = "", np.nan, "clip3"
    clips.loc[[4, 5], "split"] = "dev"
    assert audit_clips(clips).problems == (
        "1 clip is in no split.", "Splits that nothing reads (the names are train, validation, test): dev.",
        "1 clip has no positive length.", "1 clip has the clip_id of another clip.")
    first, *_, last = audit_clips(sound()[:0]).problems
    assert first == "The train split has no clips." and "nothing to tell apart" in last
    with pytest.raises(BadParameter, match="lacks label"):
        audit_clips(sound().drop(columns="label"))
    clips = sound().assign(fold=[i // 2 % 3 for i in range(18)])
    clips.loc[clips.index[:2], "split"] = ""
    found = audit_clips(clips)
    assert found.problems == () and found.notes == (
        "Every clip is tested once, in 3 folds; the splits are those of the first.",)


@pytest.mark.parametrize(("changes", "said"), [
    ({"label": {"yes": "Train", "no": "fold 2"}}, "2 classes are called as splits or parts are: Train, fold 2."),
    ({"label": {"yes": "very sad", "no": "Very_Sad"}}, "several spellings: Very_Sad = very sad."),
    ({"label": {f"clip{i}": f"{i % 22 / 7:.3f}" for i in range(60)}},
     "The labels are 22 different numbers, 0 to 3, each a class here"),
    ({"sample_rate": {"yes": 48000, "no": 16000}}, "2 classes can be told by the sample rate of the files: "
     "no (16000 Hz), yes (48000 Hz)."),
    ({"seconds": {"yes": 2.0, "no": 2.5}}, "can be told by the length of the files: no (2.5 s), yes (2.0 s)."),
    ({"audio": {"yes": "/d/monday/1.wav", "no": "/d/friday/1.wav"}}, "by the folder of the files: no (friday), "
     "yes (monday)."),
    ({"recording": {"yes": "a"}}, "1 recording is in more than one split, in copies that sound alike though their "
     "samples differ or in parts that overlap: clip0 = clip6."),
    ({"sha256": {"yes": audio.sha256(np.zeros(32_000))}}, "Most clips of these labels are digital silence: yes."),
    ({"label": {"no": ""}}, "9 clips have a split and no label.")])
def test_questions_that_a_person_would_ask_of_classes(changes, said):
    clips = pd.concat([sound()] * (4 if "clip0" in str(changes) else 1), ignore_index=True)
    for column, value_of in changes.items():
        by = clips["label"] if "clip0" not in value_of else pd.Series([f"clip{i % 60}" for i in range(len(clips))])
        clips[column] = by.map(value_of).fillna(clips.get(column, ""))
    assert said in problem(clips)
    plain = sound().assign(audio=sound()["label"].map("/d/{}/1.wav".format), sample_rate=8000)
    assert "told by" not in problem(plain)
    assert "All clips are 2.000 s long" in " ".join(audit_clips(pd.concat([plain] * 2)).notes)


def test_labels_that_are_numbers_are_asked_nothing_that_is_asked_of_classes():
    clips = sound().assign(label=[f"{i / 7:.3f}" for i in range(18)])
    assert audit_clips(clips).problems == () and "18 different numbers, 0 to 2.429" in audit_clips(clips).notes[0]
    twice = clips.assign(sha256=["same", "same", *clips["sha256"][2:]], speaker="everybody")
    assert len(audit_clips(twice).problems) == 3 and len(audit_clips(clips, numbers=False).problems) > 2
    few = sound().assign(label=[str(i % 7) for i in range(18)])  # ratings: only who measures knows
    assert audit_clips(few).problems and not audit_clips(few, numbers=True).problems


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(3, 9), st.integers(1, 3)), min_size=1, max_size=9), st.integers(0, 3))
def test_speakers_with_one_label_are_always_divided_with_every_label_everywhere(sizes, seed):
    pairs = [(f"label{k}", f"s{k}-{s}") for k, (people, takes) in enumerate(sizes)
             for s in range(people) for _ in range(takes)]
    labels, speakers = zip(*pairs, strict=True)
    split_of = splits.split_speakers(labels, speakers, (0.6, 0.2, 0.2), seed)
    assert set(split_of) == set(speakers)
    assert len({(label, split_of[speaker]) for label, speaker in pairs}) == 3 * len(sizes)
    assert splits.split_speakers([*labels, "rare"], [*speakers, "one"], (0.6, 0.2, 0.2), seed) == {}
    both = splits.split_speakers(labels, speakers, (0.8, 0.2), seed, ("train", "test"))
    assert len({(label, both[speaker]) for label, speaker in pairs}) == 2 * len(sizes)


def test_speakers_with_several_labels_are_divided_where_it_can_be_done():
    people = {"a": (0, 1, 2), "b": (2, 3, 4), "c": (0, 3, 5), "d": range(6)}
    both = [(label, f"s{k}") for label, those in people.items() for k in those]
    split_of = splits.split_speakers(*zip(*both, strict=True), (0.6, 0.2, 0.2))
    assert len({(label, split_of[speaker]) for label, speaker in both}) == 12


@pytest.mark.parametrize(("name", "split"), [
    ("Training", "train"), ("train-clean-100", "train"), ("DEV", "validation"), ("devel_2", "validation"),
    ("eval", "test"), ("01 test set", "test"), ("untrained", ""), ("contest", ""), ("train-test", ""), ("", "")])
def test_usual_spellings_of_splits(name, split):
    assert splits.find_split(name) == split
