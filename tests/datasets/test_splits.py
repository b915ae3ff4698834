"""Splits: the authors' actor lists as golden values, and hashes that see what matters."""

import hashlib
import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.datasets import splits
from nslib.errors import BadParameter

ACTORS = [str(actor) for actor in range(1001, 1092)]
VALIDATION = [1015, 1020, 1021, 1030, 1050, 1070, 1079, 1089, 1090]
TEST = [1010, 1013, 1022, 1026, 1037, 1038, 1040, 1045, 1047, 1048, 1059, 1065, 1066, 1068, 1071, 1073,
        1084, 1086, 1088]


def test_actors_of_crema_d_and_savee_are_those_of_tfds():
    split = splits.split_by_group(ACTORS, ACTORS)
    assert [int(a) for a in ACTORS if split[a] == "validation"] == VALIDATION
    assert [int(a) for a in ACTORS if split[a] == "test"] == TEST and list(split.values()).count("train") == 63
    clips = [(actor, i) for actor in ("JE", "DC", "KL", "JK") for i in range(3)]
    split = splits.split_by_group(clips, [actor for actor, _ in clips], (0.6, 0.2, 0.2))
    expected = {"DC": "test", "JE": "validation", "JK": "train", "KL": "train"}
    assert split == {clip: expected[clip[0]] for clip in clips}


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=3), st.randoms(), st.integers(0, 5))
def test_groups_stay_whole_in_any_order_of_items(groups, random, seed):
    items = list(enumerate(groups))
    if len(set(groups)) < 3:
        with pytest.raises(BadParameter, match="cannot fill 3 splits"):
            splits.split_by_group(items, groups)
        return
    split = splits.split_by_group(items, groups, seed=seed)
    assert len({(group, split[item]) for item, group in zip(items, groups, strict=True)}) == len(set(groups))
    shuffled = random.sample(items, len(items))
    assert splits.split_by_group(shuffled, [group for _, group in shuffled], seed=seed) == split


@pytest.mark.parametrize(("arguments", "message"), [
    ((["a"], []), "1 items but 0 groups"),
    ((["a", "a"], ["x", "y"]), "two groups"), ((ACTORS, ACTORS, (0.5, 0.1, 0.2)), "sum to 1"),
    ((ACTORS, ACTORS, (1.5, -0.7, 0.2)), ">= 0"), ((ACTORS, ACTORS, (0.5, 0.5)), "one probability for each name"),
    ((ACTORS, ACTORS, (0.5, 0.5), ("a", "a")), "one probability for each name")])
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(BadParameter, match=message):
        splits.split_by_group(*arguments)


@pytest.mark.parametrize(("number", "digest"), [
    (666, "1a618baf74adf79b"), (0, "aefceab2eeb9cb23"), (1, "8ec67ddb648f07eb")])
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
            assert abs(parts.count("train") - 0.6 * len(parts)) <= 1
            assert parts.count("validation") >= 1 and parts.count("test") >= 1


def test_hashes_ignore_order_and_names_only():
    clips = pd.DataFrame([("yes" if i % 2 else "no", f"s{i % 4}", splits.SPLITS[i % 3], f"clip{i}", f"{i:064x}")
                          for i in range(18)], columns=["label", "speaker", "split", "clip_id", "sha256"])
    renamed = clips.sample(frac=1, random_state=0).assign(clip_id="x")
    assert splits.hash_split(renamed) == splits.hash_split(clips)
    assert splits.hash_data(renamed.assign(label="z", split="train")) == splits.hash_data(clips)
    for column in ("sha256", "label", "speaker", "split"):
        changed = clips.copy()
        changed.loc[3, column] = "other"
        assert splits.hash_split(changed) != splits.hash_split(clips)
    assert splits.hash_split(pd.concat([clips, clips[:1]])) != splits.hash_split(clips)
    assert splits.hash_split(clips[:1].assign(label="ab", speaker="c")) != splits.hash_split(
        clips[:1].assign(label="a", speaker="bc"))
