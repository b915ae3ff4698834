"""The committed manifests keep what tasks and sources promise, and the rules that made them."""

import importlib.util
import re
import sys
from pathlib import PurePosixPath

import pandas as pd
import pytest

from nslib import config
from nslib.datasets import debian, noss_sources, splits, tasks
from nslib.datasets.card import audit_clips
from nslib.datasets.splits import SPLITS, hash_split, label_is_speaker
from nslib.datasets.table import FOLD_COLUMNS

REAL = [name for name, task in tasks.REGISTRY.items() if task.kind == "real" and task.profile == "quick"]
TRAIN = "train-speech"


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_manifests", config.data_dir() / "make_manifests.py")
    module = sys.modules["make_manifests"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def manifests() -> dict[str, pd.DataFrame]:
    return {name: debian.read_manifest(debian.manifest_path(name)) for name in [*REAL, TRAIN]}


@pytest.mark.parametrize(("name", "split"), [
    ("language-5", "96f8b79628568ab3"), ("phrase-hedgewars", "70b28255f366844c"), (TRAIN, "b03640c124e80b93"),
    ("speaker-fillets", "00f70622883a38a9"), ("speaker-hedgewars", "7d0400346ce468e0"),
    ("speaker-queen", "24eef4dd834fcf61"), ("phrases-hedgewars", "87381fd58b2e18ec"),
    ("expression-hedgewars", "2c59c8ce5dff8b8c"), ("languages-4", "518fe8f41caff0d2"),
    ("voices-hedgewars", "e4cb8b3fe6e12610")])
def test_manifests_are_frozen_and_sane(manifests, name, split):
    table = manifests[name]
    assert hash_split(table) == split
    assert table["clip_id"].is_unique and table["sha256"].is_unique and table["clip_id"].is_monotonic_increasing
    assert (table["sha256"] + table["file_sha256"]).str.fullmatch("[0-9a-f]{128}").all()
    assert not table["member"].str.contains(r"(?:^/|\.\.|\\)").any()
    folds = splits.count_folds(table)
    assert (table.drop(columns=["split", *FOLD_COLUMNS] if folds else [*FOLD_COLUMNS]) != "").all(axis=None)
    assert table["seconds"].between(0.15, 12 if name != TRAIN else 30).all()
    assert table["seconds"].sum() < (2.3 if name != TRAIN else 11) * 3600  # small enough for two cores
    if name != TRAIN:  # the split keeps the promise of the task
        task = tasks.get_task(name)
        assert table["clip_id"].str.fullmatch(r"[\w@.+/-]+").all()
        assert [line for line in audit_clips(table).problems if not folds or "absent" not in line] == []
        assert label_is_speaker(table["label"], table["speaker"]) == task.speaker_is_label
        number = re.search(r"\d+|four|five", task.title)[0]
        assert int({"four": "4", "five": "5"}.get(number, number)) == table["label"].nunique()
        assert (folds > 0) == ("fold" in task.split)


@pytest.mark.parametrize(("name", "folds"), [
    ("voices-hedgewars", 5), ("phrases-hedgewars", 5), ("expression-hedgewars", 16), ("languages-4", 4)])
def test_every_clip_is_tested_once_by_what_heard_neither_its_voice_nor_its_words(manifests, name, folds):
    table, voice_is_answer = manifests[name], tasks.get_task(name).speaker_is_label
    assert splits.count_folds(table) == folds
    for fold in range(folds):
        divided = splits.divide_fold(table, fold, by_speaker=not voice_is_answer)
        parts = {part: table.iloc[places] for part, places in divided.items()}
        assert set(parts["train"]["label"]) == set(table["label"]), fold
        for part in ("test", "validation"):
            for column in ("text",) if voice_is_answer else ("speaker", "text"):
                assert not set(parts[part][column]) & set(parts["train"][column]) - {""}
        if fold == 0:
            given = {place: part for part in SPLITS for place in parts[part].index}
            assert table["split"].tolist() == [given.get(place, "") for place in table.index]


def test_phrases_of_one_recording_are_no_two_answers_and_in_no_two_folds(manifests, make):
    for twin, other in make.SAME_SOUND.items():
        assert not (manifests["phrases-hedgewars"]["label"] == twin).any()
        named = manifests["voices-hedgewars"]["clip_id"].str.extract(f"/({twin}|{other})$", expand=False)
        assert set(named) >= {twin, other} and manifests["voices-hedgewars"]["fold"][named.notna()].nunique() == 1


def test_tasks_of_the_default_run_are_large_and_varied(manifests):
    """At least 400 tested clips and 8 tested voices or sources, and no class that answers for most."""
    run = [name for name in REAL if not tasks.get_task(name).optional]
    assert len(run) == 4
    for name in run:
        table = manifests[name]
        tested = table if splits.count_folds(table) else table[table["split"] == "test"]
        assert len(tested) >= 400 and tested["speaker"].nunique() >= 8, name
        assert tested["label"].value_counts(normalize=True).max() < 0.35, name


@pytest.mark.parametrize(("name", "what"), [
    ("speaker-hedgewars", lambda row, _: re.sub(r"\d+$", "", PurePosixPath(row.member).stem)),  # the phrase
    ("speaker-fillets", lambda row, _: row.clip_id.split("/")[2]),  # the level
    ("phrase-hedgewars", lambda row, _: row.speaker), ("language-5", lambda row, _: row.package),
    ("speaker-queen", lambda row, make: make.name_line(row.clip_id)),
    ("language-5", lambda row, make: make.name_prompt(row.member) or row.clip_id),
    (TRAIN, lambda row, _: row.speaker if row.speaker.startswith("sky") else row.clip_id)])
def test_nothing_that_gives_the_answer_away_is_in_two_splits(manifests, make, name, what):
    table = manifests[name]
    places = table["split"].groupby([what(row, make) for row in table.itertuples()]).nunique()
    assert len(places) > 8 and places.eq(1).all()


def test_every_manifest_has_a_maker_and_every_source_licence_and_credit(manifests, make):
    stems = {path.stem for path in (config.data_dir() / "manifests").glob("*.csv")}
    assert stems == {*REAL, TRAIN} == set(make.BUILDERS)
    sources = pd.read_csv(config.data_dir() / "sources.csv", keep_default_na=False)
    assert (sources[["package", "licence", "credit"]] != "").all(axis=None)
    assert sources["homepage"].str.match("https?://").all()
    used = pd.concat(manifests.values())[["package", "licence"]].drop_duplicates()
    assert used["package"].is_unique
    by_package = sources.set_index("package")
    assert dict(used.itertuples(index=False)) == by_package.loc[by_package["kind"] == "deb", "licence"].to_dict()
    for credit in (by_package.loc["asterisk-prompt-it-menardi-wav", "credit"], tasks.get_task("language-5").credit):
        assert "Menardi" in credit and "www.voip.ammdomus.it" in credit  # its licence asks for both where users see it


def test_the_facts_of_noss_are_the_reference():
    table = pd.read_csv(config.data_dir() / "noss_tasks.csv", dtype=str, keep_default_na=False, index_col="dataset")
    rows = table.to_dict("index")
    assert list(rows) == ["voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank"]
    for name, sizes in (("crema_d", ["5144", "738", "1556"]), ("savee", ["240", "120", "120"]),
                        ("voxforge", ["", "", ""])):  # the last are not published
        assert [rows[name][split] for split in SPLITS] == sizes
    assert (table["source"] != "").all()
    assert {task.noss for task in tasks.REGISTRY.values() if not task.optional} == set(rows)
    for name, row in rows.items():
        status, source = noss_sources.get_status(name), noss_sources.get_source(name)
        assert (row["licence"], row["homepage"]) == (status.licence, status.homepage)
        assert (float(row["download_gb"]), float(row["disk_gb"])) == (status.download_gb, status.disk_gb)
        assert (row["tfds_version"], row["download"] == "by hand") == (source.version, source.by_hand)


@pytest.mark.parametrize(("name", "choose"), [
    ("language-5", "choose_language"), ("languages-4", "choose_languages"), (TRAIN, "choose_training")])
def test_where_a_file_lies_tells_label_and_speaker(manifests, make, name, choose):
    choose = getattr(make, choose)
    for row in manifests[name].sample(200, random_state=0).itertuples():
        chosen = choose(row.package, row.member)
        assert (chosen.clip_id, chosen.speaker, chosen.label) == (row.clip_id, row.speaker, row.label)
