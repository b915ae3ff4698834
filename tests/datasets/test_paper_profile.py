"""The paper profile, from archives to report: the real builders of TFDS on small archives in the real layouts, and
models with the published signatures from a hub on the loopback interface. Nothing in the kit knows that they are small.
"""

import os
import signal
import subprocess
import sys
import time

import hub_models
import hub_server
import noss_archives
import pytest

from nslib import config, evaluation
from nslib.datasets import loading, noss
from nslib.datasets.tasks import get_task
from nslib.report import reproduce

pytestmark = pytest.mark.heavy  # everything at once, on stand-ins; the builders, the hub and every step have own tests
SIX = ("voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank")
HUB = ("trill-layer19", "trill-top", "trill-distilled", "frill", *(f"trillsson{n}" for n in range(1, 6)),
       "yamnet-top", "yamnet-scores", "yamnet-layer10", "vggish-top", "vggish-fc1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folders of a machine that has the archives and can reach the hub."""
    home = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch, hub_server.serving(hub_models.all_models()) as url:
        for name, value in {"NSLIB_DATA_DIR": home / "tfds", "NSLIB_CACHE": home / "cache", "NSLIB_HUB_URL": url,
                            "NSLIB_REPORTS": home / "reports", "NSLIB_OFFLINE": 0}.items():
            patch.setenv(name, str(value))
        noss_archives.fabricate(config.manual_dir())
        yield home


@pytest.fixture(scope="module")
def rehearsed(home):
    """`nslib reproduce --rehearse`, killed after its first results, and once more; what it kept of the first call."""
    params = config.load_params({"rehearse": True})
    with noss_archives.registered(config.manual_dir()):
        for name in SIX:
            loading.load_clips(get_task(name), params, progress=False)
    folder = home / "reports" / "rehearsal" / "results"
    with subprocess.Popen([sys.executable, "-m", "nslib", "reproduce", "--rehearse"], start_new_session=True) as first:
        while len(list(folder.glob("*.rows.parquet"))) < 3:
            assert first.poll() is None, "it ended before it was killed"
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.rows.parquet")}
    return reproduce.reproduce_all(params), kept


def test_a_rehearsal_goes_on_where_it_was_killed_and_runs_every_model_and_notebook_on_a_few_clips(rehearsed, home):
    outcome, kept = rehearsed
    assert outcome.ok and "not run" not in outcome.text, outcome.text
    assert len(kept) >= 3 and all(path.stat().st_mtime_ns == when for path, when in kept.items())
    rows, _ = evaluation.results.load_results(home / "reports" / "rehearsal" / "results")
    of_paper = rows[rows["task"].isin(SIX)]
    assert set(of_paper["probe"]) == set(evaluation.probe.PROBES)
    chosen = evaluation.select_scores(of_paper)
    assert set(zip(chosen["task"], chosen["embedding"], strict=True)) >= {(t, e) for t in SIX for e in HUB}
    assert chosen["value"].between(0, 1).all() and (chosen["corpus_kind"] == "real").all()
    # two speakers a label and split at most, and of DementiaBank the z-score by speaker scored, but not chosen
    assert not chosen.loc[chosen["task"].isin(("dementiabank", "voxforge")), "speaker_norm"].any()
    assert set(of_paper.loc[of_paper["task"] == "dementiabank", "speaker_norm"]) == {True, False}
    ran = {p.stem for p in (home / "reports" / "rehearsal" / "notebooks").glob("*.html")}
    assert ran == {"01_noss_tasks", "05_benchmark", "06_personalisation", "08_what_matters", "09_how_sure"}


def test_its_numbers_enter_no_results_and_it_says_what_the_whole_run_takes(rehearsed, home):
    text = rehearsed[0].text
    for said in ("The whole run on voxceleb, voxforge,", "within a factor of three", "GB of vectors to store",
                 "within speakers: ", "GB of memory", "no GPU took part", "disk: about"):
        assert said in text, text
    page = (home / "reports" / "rehearsal" / "index.html").read_text()
    for word in (*HUB, "SAVEE", "DementiaBank", "Rehearsal: the numbers mean nothing.", "kept out of the choice",
                 "without a verified published value"):
        assert word in page, word
    assert [path.name for path in (home / "reports").iterdir()] == ["rehearsal"]
    paper = config.load_params({"profile": "paper"})
    assert len(loading.load_clips(get_task("crema_d"), paper, progress=False).clips) == 186
    assert len(noss.list_clips("crema_d")) == 186 and config.reports_dir() == home / "reports"


def test_without_data_every_task_says_what_to_do(tmp_path, monkeypatch, call):
    for name in ("NSLIB_DATA_DIR", "NSLIB_CACHE", "NSLIB_REPORTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    code, out, err = call("reproduce", "--profile", "paper")
    assert code == 0, err
    page = (tmp_path / "NSLIB_REPORTS" / "index.html").read_text()
    assert all(f"{name} with" in out and get_task(name).title in page for name in SIX)
    for steps in ("AudioData.zip", "vox_dev_wav.zip", "voxforge_urls.txt", "dementia/English/Pitt"):
        assert steps in page, steps
