"""How the probe prepares and shares vectors: copies that exist at a time, and answers that do not depend on it."""

import gc
import weakref

import numpy as np
import pytest

from nslib import classifiers, probe, probe_data, probe_fit


def split(name, clips=40, dim=6):
    rng = np.random.default_rng([*name.encode()])
    y = np.arange(clips) % 2
    return probe.Split(rng.normal(size=(clips, dim)) + y[:, None], np.array(["no", "yes"])[y],
                       np.array([f"{name}-{i % 4}" for i in rng.permutation(clips)]),
                       np.array([f"{name}/{i:03}" for i in range(clips)]))


def task():
    return [split(name) for name in ("train", "validation", "test")]


@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_vectors_are_normalised_first_in_length_then_by_speaker(l2, norm):
    one = split("train")
    before = one.x.copy()
    found = classifiers.normalised(one.x, one.speaker, l2=l2, speaker_norm=norm)
    expected = classifiers.l2_normalise(before) if l2 else before
    expected = classifiers.speaker_normalise(expected, one.speaker) if norm else expected
    assert (found == expected).all() and (one.x == before).all()
    assert (found is one.x) == (not l2 and not norm)


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 1), (3, 1), (5, 2), (30, 4)])
def test_as_few_copies_are_alive_as_keep_all_jobs_busy(monkeypatch, jobs, most):
    made, counts, normalise = [], [], probe_fit._normalised

    class Copy(np.ndarray):
        """An array that can be counted."""

    def counted(split, variant):
        gc.collect()
        ready = normalise(split, variant)
        copy = ready.x.copy().view(Copy)
        made.append((weakref.ref(copy), variant))
        counts.append(len({of for one, of in made if one() is not None}))
        return probe.Split(copy, ready.y, ready.speaker, ready.clip_id)

    monkeypatch.setattr(probe_fit, "_normalised", counted)
    probe.grid(*task(), probes=probe.PROBES[:3], jobs=jobs)
    assert max(counts) == most and len(counts) == 4 * 3


@pytest.mark.parametrize("jobs", [3, 30])
def test_any_number_of_jobs_gives_the_same_rows_in_the_same_order(jobs):
    one, other = (probe.grid(*task(), probes=probe.PROBES[:3], jobs=n) for n in (1, jobs))
    assert one.rows.drop(columns="fit_seconds").equals(other.rows.drop(columns="fit_seconds"))
    keys = one.rows.loc[one.rows["split"] == "test", ["probe", "l2", "speaker_norm"]].to_numpy().tolist()
    assert keys == [[name, l2, norm] for name in probe.PROBES[:3] for l2 in (False, True) for norm in (False, True)]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32])
def test_vectors_of_any_kind_become_float64_in_the_order_of_clips(kind):
    parts = task()
    x = (parts[0].x * 4).astype(kind)
    given = probe.Split(x[::-1], parts[0].y[::-1], parts[0].speaker[::-1], parts[0].clip_id[::-1])
    found = probe_data.checked(given, *parts[1:])["train"]
    assert found.x.dtype == np.float64 and found.x.flags.c_contiguous and (found.x == x).all()
    assert found.clip_id.tolist() == sorted(given.clip_id)
