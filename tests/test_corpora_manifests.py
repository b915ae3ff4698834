"""The committed manifests keep what tasks and sources promise."""

from __future__ import annotations

import csv
import re
from pathlib import PurePosixPath

import pandas as pd
import pytest

from nslib import params, splits, tasks
from nslib.corpora import candidates, noss, quick
from nslib.corpora import manifests as manifest_lists
from nslib.train import corpus as train

REAL = [name for name, task in tasks.REGISTRY.items() if task.kind == "real" and task.profile == "quick"]


@pytest.fixture(scope="module")
def manifests() -> dict[str, pd.DataFrame]:
    return {name: manifest_lists.read_manifest(manifest_lists.manifest_path(name)) for name in REAL}


@pytest.fixture(scope="module")
def sources() -> pd.DataFrame:
    return pd.read_csv(params.data_dir() / "sources.csv", keep_default_na=False)


def test_every_real_task_has_a_manifest_and_every_manifest_a_task():
    found = {path.stem for path in (params.data_dir() / "manifests").glob("*.csv") if path.stem != train.MANIFEST}
    assert found == set(REAL) == set(quick.BUILDERS)


@pytest.mark.parametrize("name", REAL)
def test_columns_are_sane(manifests, name):
    table = manifests[name]
    assert tuple(table.columns) == manifest_lists.MANIFEST
    assert table["clip_id"].is_unique
    assert table["sha256"].is_unique
    assert table["clip_id"].tolist() == sorted(table["clip_id"])
    for column in ("sha256", "file_sha256"):
        assert table[column].str.fullmatch("[0-9a-f]{64}").all()
    assert table["clip_id"].str.fullmatch(r"[\w@.+/-]+").all()
    assert not table["member"].str.contains(r"(?:^/|\.\.|\\)").any()
    assert (table != "").all(axis=None)
    assert table["seconds"].between(0.3, 12).all()
    assert table["sample_rate"].isin([8_000, 16_000, 22_050, 44_100, 48_000]).all()
    assert manifest_lists.manifest_path(name).stat().st_size < 600_000


@pytest.mark.parametrize("name", REAL)
def test_splits_keep_the_promise_of_the_task(manifests, name):
    task, table = tasks.get(name), manifests[name]
    audit = splits.audit(table)
    assert audit.problems == ()
    assert splits.label_is_speaker(table["label"], table["speaker"]) == task.speaker_is_label
    assert int(re.search(r"\d+|four|five", task.title)[0].replace("four", "4").replace("five", "5")) == \
        table["label"].nunique()


def test_contents_are_disjoint_where_the_speaker_is_the_label(manifests):
    phrases = manifests["speaker-hedgewars"]
    family = phrases["member"].map(lambda m: re.sub(r"\d+$", "", PurePosixPath(m).stem))
    assert phrases.groupby(family)["split"].nunique().eq(1).all()
    levels = manifests["speaker-fillets"]
    level = levels["clip_id"].str.split("/").str[2]
    assert levels.groupby(level)["split"].nunique().eq(1).all()
    assert levels.groupby(["split", "label"]).size().unstack().nunique(axis=1).eq(1).all()  # balanced


def test_no_package_and_no_prompt_of_the_language_test_is_in_training(manifests):
    table = manifests["language-5"]
    assert table.groupby("package")["split"].nunique().eq(1).all()
    prompts = table["member"].map(quick._prompt)
    known = table[prompts != ""].assign(prompt=prompts)
    assert known.groupby("prompt")["split"].nunique().eq(1).all()
    assert known["split"].nunique() == 2
    per_split = table.groupby(["label", "split"])["speaker"].nunique().unstack()
    assert per_split.notna().all(axis=None)
    assert table.groupby("label")["speaker"].nunique().ge(3).all()
    allison = table[table["speaker"] == "asterisk-Allison"]
    assert set(allison["label"]) == {"en", "es"}
    assert set(allison["split"]) == {"test"}
    assert table[table["split"] == "test"].groupby("label").size().nunique() == 1


def test_phrases_are_those_of_all_english_voices(manifests):
    table = manifests["phrase-hedgewars"]
    assert table.groupby("label")["speaker"].nunique().eq(9).all()
    assert not table["label"].str.match(quick.NOISES).any()
    assert "Classic" not in set(table["speaker"])


def test_a_clip_in_two_manifests_is_the_same_clip(manifests):
    facts = ["clip_id", "member", "sha256", "file_sha256", "seconds", "sample_rate", "package", "licence"]
    both = pd.concat([manifests["speaker-hedgewars"][facts], manifests["phrase-hedgewars"][facts]])
    assert both.drop_duplicates()["clip_id"].is_unique
    assert both["clip_id"].duplicated().any()


def test_every_source_has_licence_and_credit(manifests, sources):
    assert (sources[["package", "licence", "credit", "homepage"]] != "").all(axis=None)
    assert sources["homepage"].str.match("https?://").all()
    heard = train.manifest()
    used = pd.concat([*manifests.values(), heard])[["package", "licence"]].drop_duplicates()
    assert used["package"].is_unique
    licence = sources.set_index("package")["licence"]
    assert dict(used.itertuples(index=False)) == licence.loc[used["package"]].to_dict()
    assert set(sources.loc[sources["kind"] == "deb", "package"]) == set(used["package"])
    menardi = sources.set_index("package").loc["asterisk-prompt-it-menardi-wav", "credit"]
    assert "Marco Menardi" in menardi  # its licence asks for both, and the address, where users see it
    assert "www.voip.ammdomus.it" in menardi
    assert "www.voip.ammdomus.it" in tasks.get("language-5").credit


def test_the_profile_stays_small_enough_for_two_cores(manifests):
    every = pd.concat(list(manifests.values()))
    assert every["seconds"].sum() < 2.3 * 3600
    assert len(every) <= 3100


def test_the_facts_of_noss_are_the_reference():
    with open(params.data_dir() / "noss_tasks.csv", encoding="utf-8", newline="") as file:
        rows = {row["dataset"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank"]
    sizes = {name: tuple(row[s] for s in splits.SPLITS) for name, row in rows.items()}
    assert sizes["crema_d"] == ("5144", "738", "1556")
    assert sizes["savee"] == ("240", "120", "120")
    assert sizes["voxforge"] == ("", "", "")  # not published
    assert all(row["source"] for row in rows.values())
    assert {task.noss for task in tasks.REGISTRY.values() if not task.optional} == set(rows)
    for name, row in rows.items():
        found = noss.status(name)
        assert (row["licence"], row["homepage"]) == (found.licence, found.homepage)
        assert (float(row["download_gb"]), float(row["disk_gb"])) == (found.download_gb, found.disk_gb)
        assert row["tfds_version"] == noss.source_of(name).version
        assert row["download"] == ("by hand" if noss.source_of(name).by_hand else "automatic")


# --- the rules that made them -----------------------------------------------------------------------


def found(name: str, **changes) -> candidates.Found:
    made = {"package": "p", "member": name, "sha256": name, "label": "a", "speaker": "s", "split": "train",
            "clip_id": f"c/{name}"}
    return candidates.Found(**{**made, **changes})


def test_a_recording_under_two_labels_is_left_out_and_a_repeat_counts_once(capsys):
    rows = [found("1"), found("2", sha256="x"), found("3", sha256="x", label="b"), found("4", sha256="y"),
            found("5", sha256="y"), found("6", sha256="z"), found("7", sha256="z", speaker="t")]
    assert [row.member for row in candidates.distinct(rows)] == ["1", "4"]
    assert "4 left out: one recording under several" in capsys.readouterr().err


def test_caps_are_shared_evenly_by_sources():
    sources = ["big"] * 50 + ["small"] * 3
    rows = [found(f"{i}", clip_id=f"c/{source}/{i}") for i, source in enumerate(sources)]
    kept = candidates.capped(rows, {"train": 10})
    names = [row.clip_id.split("/")[1] for row in kept]
    assert (len(kept), names.count("small")) == (10, 3)


@pytest.mark.parametrize(("package", "member", "label", "clip_id"), [
    ("klettres-data", "usr/share/klettres/en_GB/alpha/A.ogg", "en", "language/klettres-en_GB/alpha/A"),
    ("ktuberling-data", "usr/share/ktuberling/sounds/it/naso.wav", "it", "language/ktuberling-it/naso"),
    ("asterisk-core-sounds-ru-g722", "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU/digits/7.g722", "ru",
     "language/asterisk-ru_RU_f_IvrvoiceRU/digits/7"),
    ("asterisk-prompt-es-co", "usr/share/asterisk/sounds/es/vm-goodbye.gsm", "es",
     "language/asterisk-es/vm-goodbye"),
])
def test_where_a_file_lies_tells_language_and_source(package, member, label, clip_id):
    row = quick._choose_language(package, member)
    assert (row.label, row.clip_id) == (label, clip_id)


@pytest.mark.parametrize("member", [
    "usr/share/klettres/de/alpha/A.ogg", "usr/share/ktuberling/sounds/sr@latin/sat.ogg",
    "usr/share/doc/x/copyright",
    "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU/silence/1.g722",
    "usr/share/asterisk/sounds/en_US_f_Allison/beep.g722",
])
def test_what_is_no_speech_in_one_of_the_five_is_not_chosen(member):
    package = member.split("/")[2] + "-data" if "/k" in member else "asterisk-core-sounds-en-g722"
    assert quick._choose_language(package, member) is None
