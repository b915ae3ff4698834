"""The command line does what it says and fails with a sentence and an exit code, never a traceback."""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import reported
import typer
from helpers import clip_table, tone, write_pitches

from nslib import cli, embeddings
from nslib.datasets import folder as folder_room
from nslib.embeddings import networks
from nslib.evaluation import results

SMALL = "--corpus synthetic --tasks word-synthetic --smoke"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings, and no reports."""
    home = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_REPORTS", str(home / "reports"))
        yield write_pitches(home / "pitches", takes=1)


def list_verbs(command, name=""):
    if hasattr(command, "commands"):
        return [line for word, verb in command.commands.items() if not verb.hidden
                for line in list_verbs(verb, f"{name} {word}".strip())]
    options = sorted("/".join(sorted([*p.opts, *p.secondary_opts])) for p in command.params
                     if p.param_type_name == "option" and p.name != "help")
    arguments = sorted(p.name.upper() for p in command.params if p.param_type_name == "argument")
    return [" ".join([f"{name}:", *options, *arguments])]


def test_verbs_and_options_are_those_that_were_promised():
    expected = (Path(__file__).parents[1] / "golden" / "cli.txt").read_text().splitlines()
    assert set(list_verbs(typer.main.get_command(cli.app))) == {line.strip() for line in expected}


def test_what_takes_seconds_to_import_is_left_to_the_verbs_that_need_it():
    code = "import sys, nslib.cli; print({'tensorflow', 'torch', 'onnxruntime', 'sklearn'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(("words", "said"), [
    ("benchmark logmell", "Did you mean logmel"), ("benchmark logmel --profile quik", "Did you mean quick"),
    ("benchmark logmel --tasks speaker-filets", "Did you mean speaker-fillets"),
    ("benchmark logmel --tasks speaker-filets --dataset nowhere", "Did you mean speaker-fillets"),
    ("reproduce --corpus rael", "Did you mean real"), ("reproduce --fresh", "of one cell"),
    (f"reproduce {reported.CELL} --tasks language-5", "leave --tasks"), ("report", "--verify"),
    ("report nowhere --verify", "holds no results"), ("report --verify --level al", "Did you mean all"),
    ("compare nowhere nowhere", "no folder nowhere"), ("embed no/such/folder", "no/such/folder"),
    ("protocol k-shot,switch logmel --set folds=3", "unknown setting of k-shot 'folds'"),
    (f"protocol repeatd logmel {SMALL}", "Did you mean repeated"), ("check nowhere.py:embed", "no file"),
    ("check json:lods", "Did you mean loads"), ("check json:__name__", "no function"),
    ("check .:x", "cannot import"), ("train triplets stepps=3", "Did you mean steps"),
    ("train triplets steps", "name=value"), ("train triplets margin=9", "at most 4"),
    ("train distill student=mobilnet-0.25", "mobilenet"), ("train export trill-minni out", "Did you mean trill-mini")])
def test_wrong_requests_get_one_sentence_and_exit_code_2(folder, call, words, said):
    code, out, err = call(*words.split())
    assert code == 2 and said in err and "Traceback" not in err + out


@pytest.mark.parametrize("words", [
    "benchmark logmel --out scores.txt", "benchmark logmel --out FILE/rows.csv", "benchmark logmel --out DIR.csv",
    "benchmark logmel --cluster local:none", "benchmark logmel --cluster nowhere", "embed DIR.csv --out v.xlsx",
    "embed DIR.csv --embedding logmell", "embed DIR.csv --embedding none.onnx", "check logmel --card card.html",
    "protocol repeated logmel --out x.json", "report --verify --out checks", "compare a b --out a.txt",
    "data clips word-synthetic --out clips.npz", "data clips word-synthetic --wav FILE",
    "data card DIR.csv --out c.txt", "data card DIR.csv --save-splits s.parquet", "export-row logmel row.csv",
    "vectors export logmel --out FILE", "protocol k-shot,switch logmel --set shots=[1,2]", "reproduce --jobs two",
    "benchmark logmel --jobs 0", "protocol repeated logmel --jobs 1.5", "vectors export logmel --shards 0",
    "train triplets --folder FILE", "train export trill-mini x --quantise dynamic",
    "train classifier word-synthetic trill-mini-top FILE", "workshop build --out FILE"])
def test_options_are_checked_before_any_work(words, tmp_path, monkeypatch, call):
    file, folder = tmp_path / "file", tmp_path / "folder.csv"
    file.touch()
    folder.mkdir()
    monkeypatch.setenv("JOBS", "1")
    for room, work in ((cli.benchmark, "load_tasks"), (folder_room, "list_clips"), (networks, "load_network"),
                       (cli.verify, "verify_report"), (cli.protocols, "run_protocol"), (cli.tfrecords, "list_clips"),
                       (cli.data, "load_sources"), (cli.workshop, "build"), (cli, "reproduce_all"),
                       (cli.tfrecords, "export_vectors")):
        monkeypatch.setattr(room, work, lambda *a, **k: pytest.fail("it was worked"))
    code, out, err = call(*words.replace("FILE", str(file)).replace("DIR.csv", str(folder)).split())
    assert (code, out) == (2, "") and err.strip() and "Traceback" not in err and not file.read_bytes()


def test_what_cannot_be_imported_is_one_sentence_and_what_cannot_be_had_exit_code_3(tmp_path, monkeypatch, call):
    (tmp_path / "mine.py").write_text("import nothing_of_this_name\n")
    code, _, err = call("check", f"{tmp_path / 'mine.py'}:f")
    assert code == 2 and "cannot import" in err and "nothing_of_this_name" in err and "Traceback" not in err
    (tmp_path / "far.py").write_text("def load_model():\n    raise OSError(\"We couldn't connect to 'https://h.co'\")\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("speech-embedding", "hear:far"):
        code, _, err = call("check", name)
        assert code == 3 and "NSLIB_OFFLINE" in err
    code, out, _ = call("data", "prepare", "savee")
    assert code == 3 and "AudioData.zip" in out


def test_own_function_beside_a_built_in_gives_a_table_and_rows(folder, tmp_path, call):
    (tmp_path / "mine.py").write_text("def loud(waves):\n    return waves.std(axis=1, keepdims=True)\n"
                                      "class Loud:\n    def __call__(self, waves):\n        return loud(waves)\n")
    where = f"{tmp_path / 'mine.py'}:loud"
    code, out, _ = call("benchmark", where, "logmel", "--dataset", folder, "--smoke", "--out", tmp_path / "rows.csv")
    assert code == 0 and "pitches" in out and "logmel" in out and "loud" in out
    assert set(pd.read_csv(tmp_path / "rows.csv")["embedding"]) == {"logmel", "loud"}
    code, out, err = call("protocol", "leave-one-speaker-out,k-shot", where, "--dataset", folder, "--smoke", "--set",
                          "shots=1", "--metric", "uar,accuracy", "--probes", "LogisticRegression", "--no-transductive",
                          "--out", tmp_path / "p.csv")
    assert not code and not pd.read_csv(tmp_path / "p.csv")["speaker_norm"].any()
    assert "k-shot 1" in out and "12 clips, 6 speakers" in out and "10 clips" in out
    assert "were drawn into the splits" in " ".join(err.split())
    code, out, err = call("protocol", "k-fold", where.replace("loud", "Loud"), "--dataset", folder, "--smoke", "--set",
                          "folds=3", "--metric", "uar,accuracy", "--json", "--out", tmp_path / "k.csv")
    assert code == 0 and "drawn into" not in err and "3 folds: 8 clips" in " ".join(err.split())
    rows = pd.read_csv(tmp_path / "k.csv").query("selected and split_number.isna()")
    read = [(t["protocol"], t["metric"], t["n_train"], t["scores"][0]["value"]) for t in json.loads(out)["tasks"]]
    assert len(read) == 2 and read == [("3-fold", row.metric, 8, row.value) for row in rows.itertuples()]
    for wrong in ("foo=2", "window=1&foo=2"):
        code, _, err = call("check", f"{where}?{wrong}")
        assert code == 2 and "unknown option of loud 'foo'. Known: citation, hop" in err
    code, out, _ = call("check", where, "--card", tmp_path / "card.md")
    assert code in (0, 1) and "silence" in out.lower() and (tmp_path / "card.md").read_text().startswith("# loud")


def test_controls_a_page_and_json_come_with_own_data_and_a_sentence_says_where(folder, tmp_path, call, monkeypatch):
    small = ("benchmark", "logmel", "--dataset", folder, "--smoke", "--no-transductive")
    code, out, err = call(*small, "--controls", "--report", tmp_path / "page.html", "--json")
    read = json.loads(out)
    assert code == 0 and {c["control"] for c in read["tasks"][0]["controls"]} >= {"majority", "silence", "recording"}
    assert "data:image/png" in (tmp_path / "page.html").read_text() and str(tmp_path / "page.html") in err
    assert not any(score["speaker_norm"] for score in read["tasks"][0]["scores"])
    asked = ("--seed", "3", "--metric", "uar,accuracy", "--probes", "LogisticRegression", "--json")
    for flag in ([], ["--transductive"], ["--no-transductive"]):
        first = json.loads(call(*small[:-1], *flag, *asked, "--report", tmp_path / "b.html")[1])
        (again,) = set(re.findall("<code>python -m nslib (.*?)</code>", (tmp_path / "b.html").read_text()))
        assert [word for word in shlex.split(again) if "transductive" in word] == flag
        assert json.loads(call(*shlex.split(again), "--json")[1])["tasks"] == first["tasks"] != []
    monkeypatch.setenv("REHEARSE", "1")
    place = shutil.copytree(folder, tmp_path / "my pitches")
    for system, quoted in (("nt", f'"{place}"'), ("posix", f"'{place}'")):
        monkeypatch.setattr(cli, "os", SimpleNamespace(**vars(os) | {"name": system}))
        code = call("benchmark", "logmel", "--dataset", place, *asked[2:], "--report", tmp_path / "c.html")[0]
        page = html.unescape((tmp_path / "c.html").read_text())
        (again,) = set(re.findall("<code>python -m nslib (.*?)</code>", page))
        assert code == 0 and quoted in again and again.endswith(" --rehearse")
    monkeypatch.delenv("REHEARSE")
    assert call(*shlex.split(again))[0] == 0 and call(*shlex.split(again), "--profile", "quick")[0] == 2
    code, out, err = call(*small)
    assert code == 0 and out.startswith("pitches: accuracy") and "logmel  1.00" in out and "Next: --controls" in err
    assert "★ logmel" not in out and "is told from chance, so none is marked" in " ".join(out.split())  # luck still
    code, _, err = call(*small, "--report", tmp_path / "page.pdf")
    assert code == 2 and "ends in .html" in err


def test_embed_writes_a_table_and_the_store_is_checked_and_mended(folder, tmp_path, monkeypatch, call):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    home = shutil.copytree(folder, tmp_path / "pitches")
    (home / "low" / "s0" / "broken.wav").write_bytes(b"RIFF")
    for ending in ("parquet", "csv"):
        code, out, err = call("embed", home, "--out", tmp_path / f"v.{ending}")
        assert code == 1 and "12 clips" in out and "1 left out" in out and "broken.wav" in err
    vectors, text = pd.read_parquet(tmp_path / "v.parquet")["vector"], pd.read_csv(tmp_path / "v.csv")["vector"]
    assert len(text) == 12 and np.allclose(np.stack(vectors), np.stack(text.map(json.loads)))
    code, _, err = call("embed", home, "--out", tmp_path / "v.xlsx")
    assert code == 2 and ".csv or .parquet" in err
    assert call("store", "verify")[0] == 0
    shard = next((tmp_path / "cache" / "vectors").glob("*/*.arrow"))
    shard.write_bytes(shard.read_bytes()[:100])
    assert call("store", "verify")[0] == 1
    call("store", "prune")
    assert call("store", "verify")[0] == 0


def test_every_door_counts_what_was_left_out(folder, tmp_path, monkeypatch, call):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    home = shutil.copytree(folder, tmp_path / "d")
    rows = [f"{path.relative_to(tmp_path)},{path.parts[-3]},{path.parts[-2]}" for path in sorted(home.rglob("*.wav"))]
    Path("good.csv").write_text("\n".join(["path,pitch,who", *rows]))
    Path("some.csv").write_text("\n".join(["path,pitch,who", *rows, "gone.wav,low,s1"]))
    Path("none.csv").write_text("path,pitch,who\ngone.wav,low,s1\nalso.wav,high,s2\n")
    columns = "--audio path --label pitch --speaker who"
    for verb, last in (("embed {} --out v.parquet", "clips -> v.parquet; {} left out"),
                       ("benchmark logmel --smoke --dataset {} --out r.csv", "{} clips left out, 0 not run"),
                       ("data card {} --out c.md", "12 clips, {} left out; 0 things")):
        for name, code, count in (("good.csv", 0, 0), ("some.csv", 1, 1), ("none.csv", 2, 2)):
            got, out, err = call(*verb.format(name).split(), *columns.split())
            assert got == code and err.count("left out") >= count and "Traceback" not in err
            assert f"left out {tmp_path / 'gone.wav'}" in err or not count
            assert last.format(count) in out + err or code == 2 or (code == 0 and verb.startswith("bench"))
            assert ".. " not in err
    assert "gone.wav | there is no such file" in Path("c.md").read_text()
    code, _, err = call("benchmark", "logmel", "--dataset", "good.csv", "--audio", "path", "--smoke")
    assert code == 2 and "is it (pitch, who), say so: --label COLUMN" in err.partition("not run: ")[2]
    assert "--label COLUMN" in call("embed", "good.csv", "--audio", "path")[2]
    assert call("benchmark", "speech-embedding", "--dataset", "d", "--smoke")[0] == 3


@pytest.mark.parametrize(("words", "said"), [
    ("doctor", ("memory", "locked packages", "apt-get", "speaker-queen", "speech-embedding", "opensmile-egemaps")),
    ("data status --profile paper", ("vox_dev_wav.zip",)), ("notebooks check", ("0 violations",)),
    ("published list noss", ("unverified", "unknown")), ("train settings", ("unknown", "margin", "1500")),
    ("train settings --size paper", ("resnet50-trill", "known", "believed", "300000"))])
def test_verbs_that_list_and_check(folder, call, words, said):
    code, out, _ = call(*words.split())
    assert code == 0 and all(word in out for word in said), out


def test_exported_vectors_give_the_same_scores_when_they_are_read_again(folder, tmp_path, call):
    small, out = SMALL.split(), tmp_path / "out"
    code, said, _ = call("vectors", "export", "logmel", "mfcc", *small, "--out", out, "--numbers")
    assert code == 0 and "word-synthetic.test-00000-of-00001" in said
    code, probed, _ = call("vectors", "probe", out / "word-synthetic.*-of-00001", "--name", "logmel", "--labels",
                           out / "word-synthetic.label_list.txt", "--smoke")
    assert code == 0 and call("benchmark", "logmel", *small, "--out", tmp_path / "rows.csv")[0] == 0
    row = pd.read_csv(tmp_path / "rows.csv").query("split == 'test' and selected").squeeze()
    wanted = row["probe"], "True", f"{row['value']:.6f}"
    assert any(all(word in line for word in wanted) for line in probed.splitlines()), (probed, wanted)
    code, said, _ = call("protocol", "repeated", "logmel", *small, "--out", tmp_path / "p.csv")
    assert code == 0 and "word-synthetic" in said and set(pd.read_csv(tmp_path / "p.csv")["protocol"]) == {"repeated"}


def test_a_planted_number_is_exit_code_1_with_key_and_file(tmp_path, call):
    with reported.copied(tmp_path) as home:
        other = shutil.copytree(home, tmp_path / "other")
        code, out, _ = call("report", "--verify", "--out", tmp_path / "checks.csv")
        assert code == 0 and "0 wrong, 0 not made" in out and pd.read_csv(tmp_path / "checks.csv")["ok"].all()
        code, out, _ = call("compare", home, other, "--out", tmp_path / "compare.md")
        assert code == 0 and "0 moved beyond noise" in out
        assert (tmp_path / "compare.md").read_text(encoding="utf-8").startswith("# Two runs compared\n\n2 scores")
        key = reported.key(home)
        reported.change(home, key, "rows", reported.find_chosen(home, key), "value", 0.987)
        code, out, _ = call("report", home, "--verify")
        assert code == 1 and f"WRONG results/{key}.rows.parquet: {reported.CELL} test value (key {key}): says" in out
        code, out, _ = call("reproduce", reported.CELL, "--smoke")
        assert code == 1 and "Moved: score by" in out and "98.7" in out
        answers = reported.table(home, key, "predictions").assign(y_pred="none of them")
        results.write_table(results.table_path(key, "predictions", other / "results"), answers)
        code, out, _ = call("compare", home, other)
        assert code == 1 and "MOVED" in out


@pytest.mark.parametrize("verb", ["triplets", "distill"])
def test_the_folder_of_another_run_is_refused_before_audio_is_loaded(tmp_path, call, verb):
    (tmp_path / "settings.json").write_text("{}")
    code, _, err = call("train", verb, "--clips", tmp_path / "nowhere", "--folder", tmp_path)
    assert code == 2 and "holds a run with other settings" in err and len(list(tmp_path.iterdir())) == 1


@pytest.mark.heavy
def test_train_on_a_folder_and_export_the_weights(tmp_path, call):
    recordings, run = tmp_path / "mine", tmp_path / "run"
    clip_table(recordings, [2.0] * 40)
    code, out, err = call("train", "triplets", "steps=2", "batch=2", "evaluate_every=1", "held_out=1", "warmup=0",
                          "gap=0.2", "--clips", recordings, "--folder", run, "--size", "paper", "network=trill-mini",
                          "--price", 3600)
    assert code == 0 and "held-out triplets right" in out and "0.02 h to learn from" in err
    assert "2 of 2 steps are left" in out and " h; at 3600 an hour: " in out and "believed" in out
    assert call("train", "export", run / "best.npz", tmp_path / "model")[0] == 0
    exported = embeddings.from_saved_model(tmp_path / "model", key="embedding")
    waves, lengths = tone(1.5, 400)[None], np.array([24_000])
    mine = networks.make_embedding(networks.load_network_file(run / "best.npz"), "embedding", "mine")
    np.testing.assert_allclose(exported.embed(waves, lengths)[0], mine.embed(waves, lengths)[0], atol=1e-5)
    networks.write_arrays(tmp_path / "other.npz", {"weights": []}, {"network": "resnet-51"})
    code, _, err = call("train", "export", tmp_path / "other.npz", tmp_path / "out")
    assert code == 2 and "unknown kind of student 'resnet'" in err
