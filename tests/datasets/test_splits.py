"""Splits: the authors' actor lists as golden values, and hashes that see what matters."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nslib.datasets import splits
from nslib.errors import BadParameter

ACTORS = [str(actor) for actor in range(1001, 1092)]
VALIDATION = [1015, 1020, 1021, 1030, 1050, 1070, 1079, 1089, 1090]
TEST = [1010, 1013, 1022, 1026, 1037, 1038, 1040, 1045, 1047, 1048, 1059, 1065, 1066, 1068, 1071, 1073,
        1084, 1086, 1088]


def table(rows):
    """Make a clip table from ``(label, speaker, split)`` rows, every clip of its own audio."""
    clips = pd.DataFrame(rows, columns=["label", "speaker", "split"])
    return clips.assign(clip_id=[f"clip{i}" for i in clips.index], sha256=[f"{i:064x}" for i in clips.index])


def test_actors_of_crema_d_and_savee_are_those_of_tfds():
    split = splits.split_by_group(ACTORS, ACTORS)
    assert [int(a) for a in ACTORS if split[a] == "validation"] == VALIDATION
    assert [int(a) for a in ACTORS if split[a] == "test"] == TEST and list(split.values()).count("train") == 63
    clips = [(actor, i) for actor in ("JE", "DC", "KL", "JK") for i in range(3)]
    split = splits.split_by_group(clips, [actor for actor, _ in clips], (0.6, 0.2, 0.2))
    expected = {"DC": "test", "JE": "validation", "JK": "train", "KL": "train"}
    assert split == {clip: expected[clip[0]] for clip in clips}


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((["a"], []), "1 items but 0 groups"),
     ((["a", "a"], ["x", "y"]), "two groups"),
     ((ACTORS, ACTORS, (0.5, 0.1, 0.2)), "sum to 1"),
     ((ACTORS, ACTORS, (1.5, -0.7, 0.2)), ">= 0"),
     ((ACTORS, ACTORS, (0.5, 0.5)), "one probability for each name"),
     ((ACTORS, ACTORS, (0.5, 0.5), ("a", "a")), "one probability for each name")])
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(BadParameter, match=message):
        splits.split_by_group(*arguments)


class Twister:
    """The Mersenne Twister and the shuffle of numpy's legacy generator, from their definitions."""

    def __init__(self, seed):
        self.state, self.at = [seed], 624
        for i in range(1, 624):
            self.state.append((1812433253 * (self.state[-1] ^ (self.state[-1] >> 30)) + i) & 0xFFFFFFFF)

    def word(self):
        if self.at == 624:
            for i in range(624):
                y = (self.state[i] & 0x80000000) | (self.state[(i + 1) % 624] & 0x7FFFFFFF)
                self.state[i] = self.state[(i + 397) % 624] ^ (y >> 1) ^ (0x9908B0DF if y & 1 else 0)
            self.at = 0
        y = self.state[self.at]
        self.at += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C5680
        y ^= (y << 15) & 0xEFC60000
        return y ^ (y >> 18)

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            while (j := self.word() & ((1 << i.bit_length()) - 1)) > i:
                pass
            items[i], items[j] = items[j], items[i]


@pytest.mark.parametrize("number", [666, 0, 1])
def test_within_group_is_the_authors_algorithm_re_derived(number):
    """One generator for all groups in first-seen order; a group of fewer than three is passed over undrawn."""
    sizes = {"KL": 15, "DC": 7, "two": 2, "JE": 30, "three": 3}
    clips = [f"{who}{i:02d}" for who, n in sizes.items() for i in range(n)]
    groups = [clip[:-2] for clip in clips]
    twister, expected = Twister(number), {}
    for who in (w for w, n in sizes.items() if n >= 3):
        own = [clip for clip, group in zip(clips, groups, strict=True) if group == who]
        twister.shuffle(own)
        cuts = {15: (9, 12), 7: (4, 5), 30: (18, 24), 3: (1, 2)}[len(own)]  # by hand: int(.6 n), int(.8 n)
        for i, clip in enumerate(own):
            expected[clip] = "train" if i < cuts[0] else "validation" if i < cuts[1] else "test"
    found = splits.split_within_group(clips, groups, split_number=number)
    assert list(found.items()) == list(expected.items())
    assert splits.count_small_groups(clips, groups) == {"two": 2}


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
    clips = table([("yes" if i % 2 else "no", f"s{i % 4}", splits.SPLITS[i % 3]) for i in range(18)])
    renamed = clips.sample(frac=1, random_state=0).assign(clip_id="x")
    assert splits.hash_split(renamed) == splits.hash_split(clips)
    assert splits.hash_data(renamed.assign(label="z", split="train")) == splits.hash_data(clips)
    for column in ("sha256", "label", "speaker", "split"):
        changed = clips.copy()
        changed.loc[3, column] = "other"
        assert splits.hash_split(changed) != splits.hash_split(clips)
    assert splits.hash_split(pd.concat([clips, clips[:1]])) != splits.hash_split(clips)
    assert splits.hash_split(table([("ab", "c", "test")])) != splits.hash_split(table([("a", "bc", "test")]))
