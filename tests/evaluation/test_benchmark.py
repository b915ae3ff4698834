"""The two verbs, end to end on small data: right table, nothing computed twice, nothing lost silently."""

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
from helpers import clip_table, tone, write_pitches

from nslib import audio, config, embeddings
from nslib.datasets import card, tasks
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.evaluation import benchmark, probe, protocols, results
from nslib.evaluation.classifiers import RIDGES
from nslib.extraction import extract
from nslib.extraction.cache import VectorCache
from nslib.report import verify
from nslib.statistics.scores import select_scores

SMOKE = config.load_params({"smoke": True})


@pytest.fixture
def folder(tmp_path, cache):
    return write_pitches(tmp_path / "pitches")


def run(folder, which="logmel", **given):
    return benchmark.benchmark(which, folder, params=SMOKE, progress=False, **given)


def crossings(waves):
    return np.stack([waves.std(1), (np.diff(np.sign(waves), axis=1) != 0).mean(1)], 1).astype(np.float32)


def test_stored_vectors_need_no_library_and_others_say_how_to_get_it(tmp_path, cache, monkeypatch):
    spec, clips = benchmark.specify_embedding("opensmile-egemaps"), clip_table(tmp_path / "a", [1.0, 1.1])
    VectorCache(spec.load()).write("unit", clips["sha256"][:1], np.ones((1, 88), np.float32))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (spec.vectors(clips[:1], progress=False).vectors == 1).all()
    for ask in (embeddings.get, benchmark.load_embedding, lambda _: spec.vectors(clips, progress=False)):
        with pytest.raises(Unavailable, match="make setup OPENSMILE=1"):
            ask(spec.name)


def test_own_folder_and_function_give_a_row_in_the_same_table_and_a_second_run_reads_it(folder, monkeypatch):
    row = select_scores(run(folder, crossings, name="of mine").rows).iloc[0]
    assert (row["embedding"], row["dim"], row["value"]) == ("of mine", 2, 1.0)
    first = run(folder)
    row = select_scores(first.rows).iloc[0]
    assert (row["task"], row["embedding"], row["value"], row["n_speakers"]) == ("pitches", "logmel", 1.0, 2)
    assert "logmel" in first.table().columns and any("Speakers were drawn" in note for note in first.notes)
    monkeypatch.setattr(extract, "extract_vectors", lambda *a, **k: pytest.fail("embedded again"))
    second = run(folder)
    pd.testing.assert_frame_equal(first.rows, second.rows)
    assert first.notes == second.notes


def test_two_outputs_of_a_model_take_one_pass_and_have_the_vectors_of_each_alone(folder, cache, monkeypatch):
    ran, names = Counter(), ["trill-mini-top", "trill-mini-layer19"]
    fill = extract.run_here

    def run_here(units, embedding, *rest):
        ran[embedding.name] += sum(map(len, units))
        return fill(units, embedding, *rest)

    monkeypatch.setattr(extract, "run_here", run_here)
    both = run(folder, names)
    assert +ran == Counter({"trill-mini-top+trill-mini-layer19": len(both.clips)})
    assert (both.ledger["computed"] == len(both.clips)).all() and (both.ledger["wall_seconds"] > 0).all()
    vectors = [extract.extract_vectors(both.clips, embeddings.get(name)).vectors for name in names]
    next((config.cache_dir("vectors") / embeddings.fingerprint(names[0])).glob("*.arrow")).write_bytes(b"no shard")
    monkeypatch.setattr(results, "find_result", lambda key: None)
    with pytest.warns(UserWarning, match="stored vectors cannot be read"):
        run(folder, names)
    monkeypatch.setattr(extract, "fill_caches", Mock(side_effect=MemoryError))
    with pytest.warns(UserWarning, match="not computed in one pass, but each by itself"):
        assert set(run(folder, names).rows["embedding"]) == set(names)
    ran.clear()
    shutil.rmtree(config.cache_dir("vectors"))
    for name, expected in zip(names, vectors, strict=True):
        alone = extract.extract_vectors(both.clips, embeddings.get(name))
        assert ran[name] == len(both.clips) and np.array_equal(alone.vectors, expected)


def test_metrics_and_probes_by_name_are_shown_together_and_what_was_kept_still_follows_from_the_answers(folder):
    done = run(folder, metric="UAR,accuracy,auc", probes="SVM_linear, kNN_5")
    chosen, table = select_scores(done.rows, every_metric=True), done.table()
    assert chosen["metric"].tolist() == ["unweighted_average_recall", "accuracy", "auc"] and (chosen["low"] < 1).all()
    assert set(done.rows["probe"]) == {"SVM_linear", "kNN_5"} and len(table) == 3
    assert set(done.rows.loc[~done.rows["selected"], "metric"]) == {"unweighted_average_recall"}
    checks = verify.verify_report()
    assert checks.loc[checks["key"] == chosen["key"][0], "ok"].all()
    for given in ({"metric": "uar,ccc"}, {"metric": "acuracy"}, {"probes": "SVM"},
                  {"metric": "mae", "probes": "kNN_5"}):
        with pytest.raises(BadParameter, match=r"together|Did you mean|Known"):
            run(folder, **given)


def test_numbers_as_labels_are_asked_about_and_taken_as_was_said(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))
    rows = pd.DataFrame({"audio": names, "speaker": [Path(name).parts[1] for name in names]})
    rows["label"] = 20 + 6 * rows["speaker"].str[1].astype(int) + np.arange(len(rows)) % 3 / 2
    rows.to_csv(folder / "ages.csv", index=False)
    told = str(card.make_data_card(folder / "ages.csv", progress=False))
    assert "| (numbers) |" in told and "numbers as labels" in told and "Speakers were drawn" in told
    with pytest.raises(BadParameter, match=r"labels of ages are 18 different numbers, 20 to 51. .*ccc,mae.*accuracy"):
        run(folder / "ages.csv")
    done = run(folder / "ages.csv", metric="mae,ccc")
    chosen = select_scores(done.rows, every_metric=True).set_index("metric")
    assert set(done.rows["probe"]) == set(RIDGES) and chosen.index.tolist() == ["mean_absolute_error", "concordance"]
    true, said = (done.predictions[name].astype(float) for name in ("y_true", "y_pred"))
    assert chosen["value"]["mean_absolute_error"] == pytest.approx((true - said).abs().mean())
    assert not any("labels" in note.lower() for note in done.notes) and len(" ".join(done.notes)) < 500
    rows.assign(label=rows["label"].astype(str).replace("20.0", "young")).to_csv(folder / "ages.csv", index=False)
    with pytest.raises(BadParameter, match="are no finite numbers, the first is 'young'"):
        run(folder / "ages.csv", metric="mae")
    digits = pd.Series([str(i % 10) for i in range(40)])
    assert not card.describe_numbers(digits) and card.describe_numbers(digits + ".5")


@pytest.mark.parametrize(("ending", "free", "times"), [("flac", 16e9, 2), ("flac", 4e5, 3), ("wav", 16e9, 1)])
def test_what_needs_a_decoder_is_decoded_once_for_all_as_memory_allows(folder, monkeypatch, ending, free, times):
    for path in [*folder.rglob("*.wav")]:
        wave = audio.read(path).wave
        path.unlink()
        soundfile.write(path.with_suffix(f".{ending}"), wave, audio.SAMPLE_RATE)
    monkeypatch.setattr(benchmark, "check_memory", lambda *_: 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    decoded, read = Counter(), audio.read
    monkeypatch.setattr(audio, "read", lambda path: (decoded.update([str(path)]), read(path))[1])
    assert select_scores(run(folder, ["logmel", "mfcc"]).rows)["value"].tolist() == [1.0, 1.0]
    assert max(decoded.values()) == times and not extract._shared.waves  # one is the list


def test_what_is_padded_and_what_is_the_same_for_every_clip_is_said_at_every_door(folder):
    one = embeddings.from_callable(lambda x: 1 + 3e-7 * x.max(1, keepdims=True), "flat", min_samples=16_000)
    for _ in "12":  # what is stored says it too
        done, asked = run(folder, one), protocols.run_protocol("k-fold", one, folder, SMOKE, progress=False)
        for told in map(" ".join, [done.notes, asked.notes, benchmark.embed(folder, one).attrs["notes"]]):
            assert "36 of 36 clips were padded to its window." in told and "All 36 vectors are the same." in told


def test_two_of_one_name_are_two_rows_and_the_same_twice_is_one(folder, tmp_path):
    one, other = lambda waves: np.abs(waves).mean(1, keepdims=True), lambda waves: waves.std(1, keepdims=True)
    one.__name__ = other.__name__ = "mfcc"
    less = shutil.copytree(folder, tmp_path / "b" / folder.name)
    next(less.rglob("*.wav")).unlink()
    given = [one, other, "mfcc", one, "mfcc"], [folder, less, folder]
    done, asked = benchmark.benchmark(*given, params=SMOKE), protocols.run_protocol("k-fold", *given, SMOKE)
    for rows in done.rows, asked.rows:
        assert {*zip(rows["task"], rows["embedding"], strict=True)} == {
            (task, name) for task in ("pitches", "pitches-2") for name in ("mfcc", "mfcc-2", "mfcc-3")}
    assert done.rows.groupby("embedding")["dim"].first().tolist() == [120, 1, 1]
    there = write_pitches(tmp_path / "c" / folder.name, takes=6)  # half of it is the same audio
    crossed = protocols.run_protocol("cross-corpus", "mfcc", folder, SMOKE, train=there, probes="LDA_LSQR_AUTO").rows
    assert (crossed["protocol"] == "cross-corpus from pitches-2").all() and (crossed["task"] == "pitches").all()
    assert {"mfcc-3: called mfcc too.", f"pitches-2: {less}, called pitches too."} <= {*done.notes} & {*asked.notes}


def test_bad_clips_are_left_out_counted_and_named_and_changed_audio_is_a_new_result(folder):
    before = run(folder)
    audio.write_wav(folder / "low" / "s0" / "0.wav", tone(0.7, 250, seed=99))
    (folder / "low" / "s0" / "empty.wav").write_bytes(b"")
    (folder / "high" / "s1" / "text.wav").write_text("not audio")
    after = run(folder)
    assert sorted(p.rsplit("/", 1)[-1] for p in after.problems["audio"]) == ["empty.wav", "text.wav"]
    assert set(before.rows["data_hash"]).isdisjoint(after.rows["data_hash"])
    assert after.ledger["computed"].sum() == before.ledger["computed"].sum() + 1
    table = benchmark.embed(folder, "logmel", progress=False)
    assert np.stack(table["vector"]).shape == (36, 128) and len(table.attrs["problems"]) == 2


def test_vectors_of_a_file_score_as_those_of_a_function_and_a_file_that_lacks_clips_does_not(folder, tmp_path):
    table = benchmark.embed(folder, crossings, progress=False)
    table[["sha256", "vector"]].to_parquet(tmp_path / "mine.parquet")
    table[["clip_id", "vector"]][3:].to_parquet(tmp_path / "few.parquet")
    with pytest.warns(UserWarning, match="names of clips"):
        outcome = run(folder, [crossings, tmp_path / "mine.parquet", tmp_path / "few.parquet"])
    named = outcome.rows.drop(columns=["key", "weights_hash", "when", "fit_seconds"]).set_index("embedding")
    one, two = (named.loc[name].reset_index(drop=True) for name in ("crossings", "mine"))
    assert one.equals(two)
    assert outcome.not_run["embedding"].tolist() == ["few"] and "no vector of 3 of" in outcome.not_run["why"].item()


def test_what_is_behind_a_name(monkeypatch, tmp_path):
    asked = {}
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setattr(embeddings, "from_file",
                        lambda path, name=None, **options: asked.update(options) or embeddings.get("logmel"))
    benchmark.specify_embedding(f"{tmp_path}/m.onnx?window=0.96&key=layer19&one_by_one=true&min_samples=1600")
    assert asked == {"window": 0.96, "key": "layer19", "one_by_one": True, "min_samples": 1600}
    with pytest.raises(BadParameter, match="no address of a model"):
        benchmark.specify_embedding("https://example.org/model.tar.gz")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        benchmark.specify_embedding("https://tfhub.dev/someone/something/1?key=embedding")


@pytest.mark.parametrize(("which", "task", "error", "words"), [
    ("logmell", "word-synthetic", UnknownName, "logmel"),
    (Path("nosuch"), "word-synthetic", BadParameter, "no file or folder 'nosuch'"),
    *((name, "word-synthetic", BadParameter, f"no file or folder '{name.partition('?')[0]}' .*embeddings list")
      for name in ("nosuch.onnx", "nosuch.parquet?x=1", "no/such", "~x/nosuch.csv")),
    ("logmel", "word-syntetic", UnknownName, "word-synthetic"),
    ([], None, BadParameter, "empty list"), (3, None, BadParameter, "got 3")])
def test_what_is_unknown_stops_before_anything_is_computed(cache, which, task, error, words):
    with pytest.raises(error, match=words):
        benchmark.benchmark(which, task, progress=False)
    assert not (cache / "vectors").exists()


def test_extras_are_never_run_unasked():
    chosen = benchmark.default_embeddings(config.load_params())
    assert "logmel" in chosen and not any(name.startswith("opensmile") for name in chosen)
    assert set(benchmark.default_embeddings(SMOKE)) < set(chosen)


@pytest.mark.parametrize(("task", "given", "normed", "kept_out"), [
    ("crema_d", {}, True, False), ("dementiabank", {}, True, True),
    ("dementiabank", {"transductive": True}, True, False), ("voxforge", {"rehearse": True}, True, True),
    ("dementiabank", {"transductive": False}, False, False), ("voxceleb", {}, False, False)])
def test_the_z_score_is_kept_out_where_each_speaker_has_one_label_unless_asked_for(task, given, normed, kept_out):
    asked = benchmark.probe_settings(tasks.get_task(task), config.load_params({"profile": "paper", **given}))
    more = {"choose_speaker_norm": False} if kept_out else {}
    assert asked == {"probes": probe.PROBES, "metric": "accuracy", "speaker_norm": normed, "seed": 0} | more


def test_vectors_that_do_not_fit_are_refused_with_both_numbers(folder, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16e9))
    needed = (148_642 * 12_288 * 16 + 134_000 * 12_288 * 16 + 100 * 2 * 2 * 0.64 * 134_000 * 16) / 1e9
    with pytest.raises(Unavailable, match=f"need about {needed:.1f} GB, and 16.0 GB are free") as caught:
        benchmark.check_memory("voxceleb", 148_642, 134_000, 12_288)
    assert "shorter vectors" in caught.value.remedy and "are kept" in caught.value.remedy
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.0))
    outcome = run(folder)
    assert outcome.rows.empty and "36 vectors of 128 numbers need" in outcome.not_run["why"].item()
    assert len(VectorCache.at(next((folder.parent / "cache" / "vectors").iterdir()))) == 36  # and the vectors are kept


def test_a_long_run_says_first_what_it_will_take_and_a_short_one_nothing(folder, monkeypatch, capsys):
    probes = {"probes": ("LDA_LSQR_AUTO",), "metric": "accuracy", "speaker_norm": False, "seed": 0}
    monkeypatch.setattr(benchmark, "probe_settings", lambda task, params: probes)
    monkeypatch.setattr(benchmark, "LONG_SECONDS", 0.0)
    benchmark.benchmark("logmel", folder, params=config.load_params({}), progress=True)
    shown = capsys.readouterr().err
    assert shown.index("up to 0.0 GB of memory") < shown.index("1 min of probes") < shown.index("embed logmel")
    monkeypatch.setattr(benchmark, "LONG_SECONDS", 600.0)
    benchmark.benchmark("mfcc", folder, params=config.load_params({}), progress=True)
    assert "estimate" not in capsys.readouterr().err


@pytest.fixture(scope="module")
def parts():
    """Vectors of three classes that overlap."""
    rng, y = np.random.default_rng(0), np.arange(120) % 3
    whole = probe.LabelledVectors(rng.normal(size=(120, 6)) + 0.8 * np.eye(3, 6)[y], np.char.mod("c%d", y),
                                  np.char.mod("s%d", np.arange(120) % 7), np.char.mod("clip%03d", np.arange(120)))
    split = rng.permutation(120) % 3
    return [whole.take(split == k) for k in range(3)]


@pytest.fixture(scope="module")
def made(parts):
    origin = dict.fromkeys(("data_hash", "split_hash", "weights_hash"), "x")
    origin |= {"task": "style-synthetic", "embedding": "logmel", "corpus_kind": "real"}
    return {name: results.add_origin(probe.grid(*parts, probes=[name], jobs=1), key=f"k{i}", **origin)
            for i, name in enumerate(probe.PROBES)}


@pytest.mark.parametrize("name", probe.PROBES)
def test_the_refit_answers_what_the_benchmark_answered_and_says_how_sure(name, parts, made):
    rows, predictions = made[name]
    row = select_scores(rows).iloc[0]
    again = benchmark.measure_confidence(row, *parts)
    assert again["y_pred"].tolist() == predictions["y_pred"].tolist() and again["clip_id"].is_monotonic_increasing
    assert again["confidence"].between(1 / 3, 1).all() and list(again) == list(benchmark.CONFIDENCE)
    # of three classes, the other two share what is left
    least = np.abs((again["y_true"] == again["y_pred"]) - again["confidence"]) ** 2
    assert again["brier"].between(least - 1e-12, 2).all()
    with pytest.raises(Unavailable, match="finetuned-mean is no probe on stored vectors"):
        benchmark.measure_confidence(dict(row) | {"probe": "finetuned-mean"}, *parts)


@pytest.fixture
def stored(parts, made, monkeypatch):
    """A benchmark whose vectors are at hand."""
    clips = pd.concat([pd.DataFrame({"clip_id": s.clip_id, "label": s.y, "speaker": s.speaker, "split": name})
                       for s, name in zip(parts, ("train", "validation", "test"), strict=True)], ignore_index=True)
    given = extract.Extraction(np.concatenate([s.x for s in parts]), clips, clips[:0], {})
    task = tasks.REGISTRY["style-synthetic"], SimpleNamespace(clips=clips)
    monkeypatch.setattr(benchmark, "load_tasks", lambda *a, **k: [task])
    monkeypatch.setattr(benchmark.EmbeddingSpec, "vectors", lambda *_, **__: given)
    return made["LDA_LSQR_AUTO"]


def test_what_was_measured_is_stored_and_not_computed_again(stored, tmp_path, monkeypatch):
    def find():
        return benchmark.find_confidence(*stored, progress=False, folder=tmp_path)

    rows, _ = stored
    assert benchmark.load_confidence(rows, tmp_path).empty
    first, left_out = find()
    assert len(first) == 40 and left_out.empty
    path = results.table_path(rows["key"].iloc[0], "confidence", tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="not used"):
        pd.testing.assert_frame_equal(first, find()[0])
    monkeypatch.setattr(benchmark, "measure_confidence", lambda *_: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(first, find()[0])
    pd.testing.assert_frame_equal(first, benchmark.load_confidence(rows, tmp_path))


def test_other_answers_than_those_stored_are_not_described(stored, tmp_path):
    rows, predictions = stored
    turned = predictions.assign(y_pred=["other", *predictions["y_pred"][1:]])
    for changed, answers, why in ((rows, turned, "1 of 40 answers are not those that were kept"),
                                  (rows.assign(embedding="mine"), predictions, "no embedding of this name"),
                                  (rows.assign(task="mine"), predictions, "own recordings")):
        table, left_out = benchmark.find_confidence(changed, answers, progress=False, folder=tmp_path)
        assert table.empty and why in left_out["why"].item()
