"""Which tasks are asked for, and which can be run here, from a fabricated corpus of one recorded task."""

import dataclasses
import shutil

import pandas as pd
import pytest
from debs import put_packages, speech_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import config
from nslib.datasets import debian, loading, table, tasks
from nslib.datasets.splits import SPLITS
from nslib.errors import UnknownName


@pytest.fixture
def registry(tmp_path, cache, monkeypatch):
    """One recorded task whose packages were put into the cache by hand, beside the synthetic ones."""
    manifest, files = speech_manifest()
    put_packages(manifest, files)
    config.write_file(tmp_path / "data" / "manifests" / "speaker-fillets.csv", manifest.to_csv(index=False))
    monkeypatch.setattr(config, "data_dir", lambda: tmp_path / "data")
    few = {n: t for n, t in tasks.REGISTRY.items() if t.kind == "synthetic"}
    few["speaker-fillets"] = dataclasses.replace(tasks.get_task("speaker-fillets"), optional=False)
    monkeypatch.setattr(tasks, "REGISTRY", few)


def test_recorded_tasks_are_run(registry):
    plan = loading.resolve_tasks(config.load_params({}), progress=False)
    assert [t.name for t in plan.tasks] == ["speaker-fillets"]
    assert (plan.not_run, plan.notes) == ((), ())
    assert len(loading.load_clips(plan.tasks[0], config.load_params({}), progress=False).clips) == 12
    shutil.rmtree(debian.archives_dir())  # prepared clips need none
    assert loading.resolve_tasks(config.load_params({}), progress=False) == plan
    assert loading.list_missing_packages(plan.tasks[0], config.load_params({})) == []


def test_folds_and_texts_come_with_the_clips_and_a_table_without_them_has_no_such_columns(registry):
    task, params = tasks.get_task("speaker-fillets"), config.load_params({})
    assert tuple(loading.load_clips(task, params, progress=False).clips.columns) == table.COLUMNS
    path = debian.manifest_path("speaker-fillets")
    old = pd.read_csv(path, dtype=str, keep_default_na=False)
    old.drop(columns=["fold", "text"]).to_csv(path, index=False)  # as it was written before there were folds
    assert tuple(loading.load_clips(task, params, progress=False).clips.columns) == table.COLUMNS
    old.assign(fold=["0", "1", "2"] * 4, text=["", *["word"] * 11]).to_csv(path, index=False)
    clips = loading.load_clips(task, params, progress=False).clips
    assert tuple(clips.columns) == (*table.COLUMNS, *table.FOLD_COLUMNS)
    assert clips["fold"].tolist() == ["0", "1", "2"] * 4 and clips["text"].tolist() == ["", *["word"] * 11]
    old.drop(columns="label").to_csv(path, index=False)
    with pytest.raises(KeyError, match="label"):
        loading.load_clips(task, params, progress=False)


def test_without_packages_the_synthetic_tasks_take_over_but_not_for_a_task_asked_for_by_name(registry, monkeypatch):
    shutil.rmtree(debian.archives_dir())
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    monkeypatch.setenv("PATH", "")
    plan = loading.resolve_tasks(config.load_params({}), progress=False)
    assert [t.kind for t in plan.tasks] == ["synthetic"] * 4
    assert [name for name, _ in plan.not_run] == ["speaker-fillets"] and "no apt-get" in plan.notes[0]
    missing = loading.list_missing_packages(tasks.get_task("speaker-fillets"), config.load_params({}))
    assert missing == ["pack-0", "pack-1"]
    plan = loading.resolve_tasks(config.load_params({"tasks": "speaker-fillets,word-synthetic"}), progress=False)
    assert [t.name for t in plan.tasks] == ["word-synthetic"] and "speaker-fillets" in plan.notes[0]
    with pytest.raises(UnknownName, match="word-synthetic"):
        loading.resolve_tasks(config.load_params({"tasks": "word-syntetic"}))


@settings(max_examples=4)
@given(st.integers(1, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_limit_is_a_cap_whatever_the_order(cap, seed, random):
    rows = [(f"c{i}", "ab"[i % 2], f"s{i % 5}", SPLITS[i % 3]) for i in range(40)]
    clips = pd.DataFrame(rows, columns=["clip_id", "label", "speaker", "split"])
    few = table.limit_clips(clips, cap, seed)
    assert few.groupby(["split", "label"]).size().eq(cap).all()
    assert set(table.limit_clips(clips.iloc[random.sample(range(40), 40)], cap, seed)["clip_id"]) == set(few["clip_id"])
    assert set(few["clip_id"]) <= set(table.limit_clips(clips, cap + 1, seed)["clip_id"])
    assert few.groupby(["split", "label"])["speaker"].nunique().eq(min(cap, 5)).all()
    assert table.limit_clips(clips, None) is clips
    folded = clips.assign(fold=clips["split"].map(dict(zip(SPLITS, "012", strict=True))), split="")
    assert table.limit_clips(folded, cap, seed).index.tolist() == few.index.tolist()
    assert table.limit_clips(clips.assign(fold=""), cap, seed).index.tolist() == few.index.tolist()
    assert set(few["clip_id"]) != set(table.limit_clips(clips, cap, seed + 1)["clip_id"])


def test_a_few_are_clips_of_the_same_two_speakers_of_eight_labels():
    rows = [(f"c{i:04}", f"l{i % 20:02}", f"s{i // 20 % 6}-{i // 120 % 3}", SPLITS[i // 120 % 3]) for i in range(1800)]
    clips = pd.DataFrame(rows, columns=["clip_id", "label", "speaker", "split"])
    few = table.limit_clips(clips, 4, 0, few=True)
    assert few["label"].nunique() == table.FEW_LABELS and few.groupby("split")["speaker"].nunique().eq(2).all()
    assert few.groupby(["split", "label", "speaker"]).size().eq(2).all() and set(few.index) <= set(clips.index)
    assert table.limit_clips(clips[::-1], 4, 0, few=True).index.tolist() == few.index.tolist()[::-1]
    own = clips.assign(label=clips["speaker"].str[:2], speaker=clips["speaker"].str[:2])  # the speaker is the label
    assert table.limit_clips(own, 4, 0, few=True).groupby(["split", "label"]).size().eq(4).all()


def test_of_which_tasks_nearly_every_speaker_has_one_label():
    said = {name for name, task in tasks.REGISTRY.items() if task.speaker_has_label}
    listed = {name: pd.DataFrame(debian.read_manifest(debian.manifest_path(name))) for name in tasks.REGISTRY
              if debian.manifest_path(name).is_file() and not tasks.get_task(name).speaker_is_label}
    own = {name: tasks.make_own_task(name, clips) for name, clips in listed.items()}
    assert {name for name, task in own.items() if task.speaker_has_label} == {"language-5", "languages-4"}
    assert said == {"language-5", "languages-4", "voxforge", "dementiabank"}
    assert not tasks.make_own_task("unknown", listed["language-5"].assign(speaker="")).speaker_has_label


@pytest.mark.parametrize(("given", "names"), [
    ({}, "voices-hedgewars speaker-queen phrases-hedgewars expression-hedgewars"),
    ({"tasks": "speaker-hedgewars,phrase-hedgewars,language-5,speaker-fillets,style-synthetic"},  # those of 0.1.0
     "speaker-hedgewars phrase-hedgewars language-5 speaker-fillets style-synthetic"),
    ({"corpus": "synthetic"}, "speaker-synthetic word-synthetic style-synthetic language-synthetic"),
    ({"profile": "paper"}, "voxceleb voxforge speech_commands crema_d savee dementiabank"),
    ({"tasks": "masked-speech, word-synthetic"}, "word-synthetic masked-speech")])  # in the order of the registry
def test_names_follow_the_parameters(given, names):
    assert tasks.choose_task_names(config.load_params(given)) == tuple(names.split())
