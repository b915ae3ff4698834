"""The training audio: disjoint from every task, by package, recording and person; and how it is read."""

from __future__ import annotations

import debs
import numpy as np
import pandas as pd
import pytest
from helpers import tone

from nslib import audio, packages
from nslib.corpora import containers, manifests
from nslib.errors import BadParameter, UnknownName
from nslib.train import corpus, recorded

TASKS = ("speaker-hedgewars", "phrase-hedgewars", "language-5", "speaker-fillets")


@pytest.fixture(scope="module")
def manifest() -> pd.DataFrame:
    return corpus.manifest()


def test_no_package_and_no_recording_is_in_a_task(manifest):
    for task in TASKS:
        other = manifests.read_manifest(manifests.manifest_path(task))
        for column in ("package", "sha256", "file_sha256", "speaker", "clip_id"):
            assert not set(manifest[column]) & set(other[column]), (task, column)


def test_the_manifest_keeps_its_rules(manifest):
    assert set(manifest["package"]) == set(corpus.PACKAGES)
    assert manifest["sha256"].is_unique and manifest["clip_id"].is_unique
    assert manifest["clip_id"].is_monotonic_increasing
    assert manifest["seconds"].between(*corpus.SECONDS).all()
    assert set(manifest["split"]) == {"train", "validation"}
    share = (manifest["split"] == "validation").mean()
    assert 0.03 < share < 0.08
    assert manifest["seconds"].sum() / 3600 > 10
    for row in manifest.sample(200, random_state=0).itertuples():
        named = corpus.choose(row.package, row.member)
        assert (named.clip_id, named.speaker, named.label) == (row.clip_id, row.speaker, row.label)


def test_what_is_held_out_is_whole_scenes_and_pictures(manifest):
    stamps = manifest[manifest["package"] == "tuxpaint-stamps-default"]
    pictures = stamps.assign(picture=stamps["clip_id"].str.rsplit("/", n=1).str[1])
    assert (pictures.groupby("picture")["split"].nunique() == 1).all()


def test_what_is_no_speech_is_not_chosen():
    stamps = "usr/share/tuxpaint/stamps/animals/birds/"
    assert corpus.choose("tuxpaint-stamps-default", stamps + "crow.ogg") is None
    assert corpus.choose("tuxpaint-stamps-default", stamps + "crow_desc_pt_BR.ogg").speaker == "tuxpaint-pt_BR"
    assert corpus.choose("tuxpaint-stamps-default", stamps + "crow_desc.ogg").label == "en"
    queen = containers.QUEEN + "#"
    assert corpus.choose("flight-of-the-amazon-queen", queen + "116SSSSS.SB.mp3") is None
    assert corpus.choose("flight-of-the-amazon-queen", queen + "020006J1.SB.mp3").speaker == "queen-joe"
    assert corpus.choose("flight-of-the-amazon-queen", queen + "020006P1.SB.mp3").speaker == "queen-02"
    assert corpus.choose("beneath-a-steel-sky", containers.SKY + "#50123.wav").label == "sky"
    assert corpus.choose("beneath-a-steel-sky", "usr/games/sky") is None


def test_every_package_is_credited(manifest):
    sources = pd.read_csv(manifests.manifest_path("x").parents[1] / "sources.csv", keep_default_na=False)
    known = sources.set_index("package")
    for package, licence in manifest[["package", "licence"]].drop_duplicates().itertuples(index=False):
        assert known.loc[package, "licence"] == licence and known.loc[package, "credit"]


def test_clips_come_from_packages_in_order_and_are_checked(cache, tmp_path, monkeypatch):
    waves = {}
    for name in ("a", "b", "c"):
        waves[name] = tone(1.0 + 0.1 * len(waves), 200 + 100 * len(waves))
        audio.write_wav(tmp_path / f"{name}.wav", waves[name])
    files = {f"x/{name}.wav": (tmp_path / f"{name}.wav").read_bytes() for name in ("c", "b", "a")}
    path = debs.deb(tmp_path / "festvox-ru_1_all.deb", files)
    monkeypatch.setattr(packages, "debian", lambda names, progress: dict.fromkeys(names, path))
    rows = [{"clip_id": f"train/{name}", "member": f"x/{name}.wav", "seconds": 1.0, "sample_rate": 16_000,
             "label": "ru", "sha256": audio.sha256(audio.read(tmp_path / f"{name}.wav").wave) if name in "ab"
             else "other",
             "file_sha256": "", "speaker": "s", "split": "train", "package": "festvox-ru", "licence": "x"}
            for name in ("a", "b", "c")]
    lost = {**rows[0], "clip_id": "train/d", "member": "x/d.wav"}
    monkeypatch.setattr(corpus, "manifest", lambda: pd.DataFrame([*rows, lost]))
    made = corpus.recordings("train", progress=False)
    assert made.names == ("train/a", "train/b")
    assert np.array_equal(made.samples[:len(waves["a"])], recorded.pcm(waves["a"]))
    assert "another one" in made.problems[0] and "no such file" in made.problems[1]
    assert corpus.recordings("train", 5.0, progress=False).names == ("train/a",)
    assert corpus.recordings("train", packages=["festvox-ru"], progress=False).names == made.names
    with pytest.raises(BadParameter, match="none of 0 clips"):
        corpus.recordings("train", packages=["beneath-a-steel-sky"], progress=False)


def test_unknown_parts_and_packages_are_refused():
    with pytest.raises(UnknownName, match="beneath-a-steel-sky"):
        corpus.recordings("train", packages=["beneath-a-steal-sky"])
    with pytest.raises(UnknownName, match="validation"):
        corpus.recordings("test")


def test_only_clips_of_one_voice_are_joined(manifest, cache, monkeypatch):
    """Scenes of the games hold several people; what is joined is an actor, a reader, a language's volunteer."""
    def beeps(progress, clips):
        yield from (tone(0.1) for _ in range(len(clips)))

    monkeypatch.setattr(corpus, "_waves", beeps)
    made = corpus.recordings("validation", 10.0, progress=False)
    held_out = manifest[manifest["split"] == "validation"].set_index("clip_id")
    alone = held_out["speaker"].str.match("sky-|queen-") & (held_out["speaker"] != "queen-joe")
    first = held_out.loc[list(made.names)].assign(samples=made.lengths)
    scene = first["speaker"].str.match("sky-|queen-") & (first["speaker"] != "queen-joe")
    assert scene.sum() == alone.sum() > 300 and (first[scene]["samples"] == 1600).all()
    joined = first[~scene].groupby("speaker")["samples"].agg(["size", "max"])
    assert {"queen-joe", "festvox-ru", "tuxpaint-en"} <= set(joined.index) and joined["max"].max() > 1600
    assert made.lengths.sum() == 1600 * len(held_out)
