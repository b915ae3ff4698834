"""The command line does what it says and fails with a sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from helpers import tone

from nslib import audio, cli


def call(monkeypatch, capsys, *words):
    """Run `nslib words` in this process; return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["nslib", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out = capsys.readouterr()
    return stop.value.code, out.out, out.err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    home = tmp_path / "pitches"
    for label, hertz in (("low", 200), ("high", 2000)):
        (home / label).mkdir(parents=True)
        for take in range(6):
            audio.write_wav(home / label / f"{take}.wav", tone(0.6 + 0.1 * take, hertz, seed=take))
    return home


@pytest.mark.parametrize(("words", "said"), [
    (["benchmark", "logmell"], "Did you mean logmel"),
    (["benchmark", "logmel", "--tasks", "speaker-filets"], "Did you mean speaker-fillets"),
    (["benchmark", "logmel", "--profile", "quik"], "Did you mean quick"),
    (["reproduce", "--corpus", "rael"], "Did you mean real"),
    (["reproduce", "--embeddings", "mfc"], "Did you mean mfcc"),
    (["embed", "no/such/folder"], "no/such/folder"),
    (["check", "nowhere.py:embed"], "no file"),
    (["check", "json:lods"], "Did you mean loads"),
])
def test_wrong_requests_get_one_sentence_and_exit_code_2(folder, monkeypatch, capsys, words, said):
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 2
    assert said in err and "Traceback" not in err + out


def test_what_cannot_be_had_is_exit_code_3(folder, monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, "check", "speech-embedding")
    assert code == 3
    assert "NSLIB_OFFLINE" in err


def test_benchmark_prints_a_table_and_writes_rows(folder, tmp_path, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "benchmark", "logmel", "mfcc", "--dataset", folder, "--smoke",
                        "--out", tmp_path / "rows.csv")
    assert code in (0, None)
    assert "pitches" in out and "logmel" in out and "mfcc" in out
    assert set(pd.read_csv(tmp_path / "rows.csv")["embedding"]) == {"logmel", "mfcc"}


def test_own_function_from_a_file(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("def loud(waves):\n    return waves.std(axis=1, keepdims=True)\n")
    where = f"{tmp_path / 'mine.py'}:loud"
    code, out, _ = call(monkeypatch, capsys, "benchmark", where, "--dataset", folder, "--smoke")
    assert code in (0, None) and "loud" in out
    code, out, _ = call(monkeypatch, capsys, "check", where)
    assert code in (0, 1) and "silence" in out.lower()


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_embed_writes_a_table(folder, tmp_path, monkeypatch, capsys, ending):
    (folder / "low" / "broken.wav").write_bytes(b"RIFF")
    code, out, err = call(monkeypatch, capsys, "embed", folder, "--embedding", "logmel", "--out",
                          tmp_path / f"v.{ending}")
    assert code in (0, None)
    assert "12 clips" in out and "1 left out" in out and "broken.wav" in err
    table = pd.read_parquet(tmp_path / "v.parquet") if ending == "parquet" else pd.read_csv(tmp_path / "v.csv")
    vector = table["vector"][0]
    assert (len(table), len(json.loads(vector) if ending == "csv" else vector)) == (12, 128)


def test_embed_refuses_other_formats(folder, tmp_path, monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, "embed", folder, "--out", tmp_path / "v.xlsx")
    assert code == 2 and ".csv or .parquet" in err


def test_store_verify_finds_damage_and_prune_removes_it(folder, tmp_path, monkeypatch, capsys):
    call(monkeypatch, capsys, "embed", folder, "--out", tmp_path / "v.csv")
    assert call(monkeypatch, capsys, "store", "verify")[0] == 0
    shard = next((tmp_path / "cache" / "vectors").glob("*/*.arrow"))
    shard.write_bytes(shard.read_bytes()[:100])
    code, out, _ = call(monkeypatch, capsys, "store", "verify")
    assert code == 1 and shard.name in out
    call(monkeypatch, capsys, "store", "prune")
    assert call(monkeypatch, capsys, "store", "verify")[0] == 0


def test_doctor_answers_without_heavy_imports(folder):
    code = ("import sys; from nslib import doctor; print(doctor.text(doctor.findings())); "
            "assert 'tensorflow' not in sys.modules")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for word in ("memory", "locked packages", "apt-get", "speaker-fillets", "speech-embedding", "opensmile-egemaps"):
        assert word in out


def test_notebooks_of_the_kit_keep_the_contract(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "notebooks", "check")
    assert code == 0, out
