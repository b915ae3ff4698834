"""The audit finds what is planted, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from nslib.datasets.card import audit_clips
from nslib.datasets.splits import SPLITS
from nslib.errors import BadParameter


def sound():
    """A clip table without a fault: two labels, three speakers a split, every clip of its own audio."""
    rows = [(label, f"{split}{i}", split) for split in SPLITS for i in range(3) for label in ("yes", "no")]
    clips = pd.DataFrame(rows, columns=["label", "speaker", "split"])
    return clips.assign(clip_id=[f"clip{i}" for i in range(18)], sha256=[f"{i:064x}" for i in range(18)], seconds=2.0)


def problem(clips):
    (only,) = audit_clips(clips).problems
    return only


def test_a_sound_split_has_no_problems():
    clips = sound()
    before = clips.copy()
    audit = audit_clips(clips)
    assert clips.equals(before) and audit.problems == audit.notes == ()
    assert audit.table.loc["train"].tolist() == [6, pytest.approx(0.2), 3, 2, 3, 3]
    assert audit.classes.loc["yes"].to_dict() == {"train": 3, "validation": 3, "test": 3, "speakers": 9}


def test_shared_speaker_and_audio_in_two_splits_and_twice_in_one_are_found():
    clips = sound()
    clips.loc[clips["speaker"] == "test1", "speaker"] = "train0"
    assert problem(clips) == "1 speaker is in more than one split: train0."
    assert audit_clips(clips).shared_speakers.loc["train0"].tolist() == [2, 0, 2]
    clips = sound()
    clips.loc[clips.index[-2], "sha256"] = clips.loc[0, "sha256"]
    assert problem(clips) == "1 recording is in more than one split: clip0, clip16."
    assert audit_clips(clips).duplicates["clip_id"].tolist() == ["clip0", "clip16"]
    clips = sound()
    clips.loc[2, "sha256"] = clips.loc[0, "sha256"]
    assert problem(clips) == "1 clip has the same audio as another clip of the same split: clip2."
    clips.loc[2, "label"] = "no"
    assert "1 recording has more than one label." in audit_clips(clips).problems


@pytest.mark.parametrize(("split", "why"), [("train", "cannot be learnt"), ("test", "is not scored"),
                                            ("validation", "when the classifier is chosen")])
def test_absent_class_is_found(split, why):
    rare = sound().query("split != @split").replace({"clip_id": "^", "sha256": "^"}, "m", regex=True)
    message = problem(pd.concat([sound(), rare.assign(label="maybe")], ignore_index=True))
    assert message.startswith(f"1 class is absent from {split}") and why in message and "maybe" in message


def test_class_of_one_speaker_is_found_unless_the_label_is_the_speaker():
    clips = sound()
    clips.loc[(clips["split"] == "train") & (clips["label"] == "no"), "speaker"] = "only"
    assert audit_clips(clips).problems == ()  # a third of the class is not nearly all of it
    clips.loc[clips["label"] == "no", "speaker"] = "only"
    assert any("may be recognised instead of the class: no." in p for p in audit_clips(clips).problems)
    found = audit_clips(clips.assign(speaker=clips["label"]))
    assert found.problems == () and "label is the speaker" in found.notes[0]


def test_unknown_values_are_counted_and_an_empty_table_and_a_missing_column_are_said():
    found = audit_clips(sound().assign(speaker=None))
    assert found.problems == () and found.notes == ("The speaker of 18 clips is not known.",)
    assert found.table["speakers"].tolist() == [0, 0, 0]
    clips = sound()
    clips.loc[0, "split"], clips.loc[1, "seconds"], clips.loc[2, "clip_id"] = "", np.nan, "clip3"
    clips.loc[[4, 5], "split"] = "dev"
    assert audit_clips(clips).problems == (
        "1 clip is in no split.", "Splits that nothing reads (the names are train, validation, test): dev.",
        "1 clip has no positive length.", "1 clip has the clip_id of another clip.")
    found = audit_clips(sound()[:0])
    assert found.problems[0] == "The train split has no clips."
    assert "nothing to tell apart" in found.problems[-1]
    with pytest.raises(BadParameter, match="lacks label"):
        audit_clips(sound().drop(columns="label"))
