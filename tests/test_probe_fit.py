"""How the probe prepares and shares vectors: copies that exist at a time, and answers that do not depend on it."""

import gc
import pickle
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

from nslib import classifiers, fit_guard, probe, probe_data, probe_fit
from nslib.errors import NslibError


def split(name, clips=40, dim=6, classes=2):
    rng = np.random.default_rng([*name.encode()])
    y = np.arange(clips) % classes
    return probe.Split(rng.normal(size=(clips, dim)) + y[:, None], np.array(["no", "yes", "or", "so"])[y],
                       np.array([f"{name}-{i % 4}" for i in rng.permutation(clips)]),
                       np.array([f"{name}/{i:03}" for i in range(clips)]))


def task(**options):
    return [split(name, **options) for name in ("train", "validation", "test")]


def variants():
    return [(l2, norm) for l2 in (False, True) for norm in (False, True)]


def fitted(parts, probes=probe.PROBES, metric="accuracy", **options):
    splits = probe_data.checked(*parts)
    wanted = probe_fit.Wanted(np.unique(splits["train"].y), metric, 3)
    return probe_fit.fit_all(probes, variants(), splits, wanted, **{"jobs": 2, "progress": None} | options)


def by_hand(parts, name, variant, metric):
    """The classifier as scikit-learn has it, on float64 vectors, alone."""
    splits = probe_data.checked(*parts)
    x = {k: classifiers.normalised(s.x, s.speaker, l2=variant[0], speaker_norm=variant[1]) for k, s in splits.items()}
    y = splits["train"].y
    with fit_guard.AT_WORK:
        made = classifiers.CLASSIFIERS[name](len(y), len(set(y)), 3)
        model = made.fit(x["train"], np.unique(y, return_inverse=True)[1])
    ask = model.predict_proba if metric == "auc" else lambda x: np.unique(y)[model.predict(x)]
    return {k: ask(x[k]) for k in ("validation", "test")}


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
def test_as_few_copies_are_alive_as_keep_all_jobs_busy(monkeypatch, request, jobs, most):
    gc.freeze()  # collections then look at what this test makes, and not at TensorFlow's million objects
    request.addfinalizer(gc.unfreeze)
    monkeypatch.setattr(probe_fit, "_ROOM", 0)
    made, counts, normalise = [], [], probe_fit._normalised

    class Copy(np.ndarray):
        """An array that can be counted."""

    def alive():
        gc.collect()
        return len({of for one, of in made if one() is not None})

    def counted(split, variant):
        ready = normalise(split, variant)
        copy = ready.x.copy().view(Copy)
        made.append((weakref.ref(copy), variant))
        until = time.monotonic() + 5  # a thread lets go of what it had a moment after it has answered
        while alive() > most and time.monotonic() < until:
            time.sleep(0.01)
        counts.append(alive())
        return probe.Split(copy, ready.y, ready.speaker, ready.clip_id)

    monkeypatch.setattr(probe_fit, "_normalised", counted)
    probe.grid(*task(), probes=["LogisticRegression", "LDA_LSQR_AUTO", "Forest_unbalanced_100"], jobs=jobs)
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


# --- shared work ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:lbfgs")
@pytest.mark.parametrize(("clips", "classes"), [(40, 2), (41, 2), (40, 4), (42, 4), (48, 3)])
@pytest.mark.parametrize("metric", ["accuracy", "auc"])
def test_shared_work_changes_no_answer(clips, classes, metric):
    parts = task(clips=clips, classes=classes, dim=30)
    for fit in fitted(parts, metric=metric):
        expected = by_hand(parts, fit.probe, (fit.l2, fit.speaker_norm), metric)
        assert all((fit.answers[k] == expected[k]).all() for k in expected)


def test_only_regression_of_classes_of_one_size_is_shared_and_it_says_so():
    even, odd = fitted(task(clips=40)), fitted(task(clips=41))
    shared = [fit for fit in even if "the same fit as LogisticRegression" in fit.reason]
    assert {fit.probe for fit in shared} == {"LogisticRegression_balanced"} and len(shared) == 4
    assert all(fit.seconds == 0 for fit in shared) and all(fit.seconds > 0 for fit in even if fit not in shared)
    assert not any("same fit" in fit.reason for fit in odd) and all(fit.seconds > 0 for fit in odd)
    alone = fitted(task(clips=40), ["LogisticRegression_balanced"])
    assert all(fit.seconds > 0 and "same fit" not in fit.reason for fit in alone)


def test_forests_of_classes_of_one_size_are_not_one_forest():
    """What keeps them from being shared: should scikit-learn change it, two fits could be one."""
    parts = task(clips=40, dim=30)
    one, other = (by_hand(parts, name, (False, False), "auc")["test"] for name in classifiers.IN_FLOAT32)
    assert (one != other).any()


def test_fits_elsewhere_come_back_the_same_in_any_order():
    seen = []

    def mapper(function, tasks):
        for sent in reversed([pickle.dumps((function, one)) for one in tasks]):
            function, one = pickle.loads(sent)
            seen.append((one.probe, one.variant))
            yield pickle.loads(pickle.dumps(function(one)))

    for clips, fits in ((40, 16), (41, 20)):
        seen.clear()
        called = iter(range(20))
        here = fitted(task(clips=clips))
        there = fitted(task(clips=clips), mapper=mapper, progress=called.__next__)
        assert len(seen) == len(set(seen)) == fits and not list(called)
        for one, other in zip(here, there, strict=True):
            assert (one.probe, one.l2, one.speaker_norm, one.reason, one.converged) == (
                other.probe, other.l2, other.speaker_norm, other.reason, other.converged)
            assert all((one.labels[k] == other.labels[k]).all() for k in ("validation", "test"))


def test_every_thread_hears_its_own_warnings_while_any_fit_is_at_work():
    guard, before, heard = fit_guard.AtWork(), warnings.showwarning, {}
    barrier = threading.Barrier(3)

    def work(n):
        with guard:
            barrier.wait()
            if n:
                for _ in range(n):
                    warnings.warn(f"from {n}", stacklevel=1)
        barrier.wait()  # 0 has left; the others' warnings were theirs alone
        heard[n] = [text for _, text in guard.heard()]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert heard == {0: [], 1: ["from 1"], 2: ["from 2", "from 2"]} and warnings.showwarning is before


def test_one_blas_thread_until_the_last_fit_has_left():
    from threadpoolctl import threadpool_info

    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    guard, before = fit_guard.AtWork(), threads()
    first, second = (guard, guard)
    with first:
        second.__enter__()
        assert threads() == {1}
    assert threads() == {1}
    second.__exit__()
    assert threads() == before


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_split_without_vectors_is_refused_in_words(which):
    parts = task()
    parts[which] = probe.Split(np.empty((0, 6)), *(np.empty(0, str) for _ in range(3)))
    with pytest.raises(NslibError, match="holds 0 clips of 0 classes; a task needs two or more"):
        probe_data.checked(*parts)
