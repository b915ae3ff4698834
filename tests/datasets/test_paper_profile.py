"""The paper profile, from archives to report: the real builders of TFDS on small archives in the real layouts, and
models with the published signatures from a hub on the loopback interface. Nothing in the kit knows that they are small.
"""

import hub_models
import hub_server
import noss_archives
import pytest

from nslib import config, evaluation
from nslib.datasets.tasks import get_task
from nslib.evaluation import benchmark
from nslib.report import reproduce

pytestmark = pytest.mark.heavy  # everything at once, on stand-ins; the builders, the hub and every step have own tests
SIX = ("voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank")
HUB = ("trill-layer19", "trill-top", "trill-distilled", "frill", *(f"trillsson{n}" for n in range(1, 6)),
       "yamnet-top", "yamnet-scores", "yamnet-layer10", "vggish-top", "vggish-fc1")
SHOWN = ("logmel", "trill-distilled", "trill-layer19")


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
def benchmark_results(home):
    """All six tasks and all embeddings, as `make reproduce PROFILE=paper SMOKE=1` measures them."""
    with noss_archives.registered(config.manual_dir()):
        return benchmark.benchmark(params=config.load_params({"profile": "paper", "smoke": True}), progress=False)


@pytest.fixture(scope="module")
def outcome(benchmark_results):
    """`make reproduce PROFILE=paper SMOKE=1 EMBEDDINGS=...`: everything is there already but notebooks and report."""
    return reproduce.reproduce_all(config.load_params({"profile": "paper", "smoke": True, "embeddings": SHOWN}))


def test_every_embedding_is_measured_on_every_task(benchmark_results):
    assert benchmark_results.not_run.empty, benchmark_results.not_run
    chosen = evaluation.select_scores(benchmark_results.rows)
    assert set(zip(chosen["task"], chosen["embedding"], strict=True)) >= {(t, e) for t in SIX for e in HUB}
    assert chosen["value"].between(0, 1).all() and (chosen["corpus_kind"] == "real").all()


def test_the_report_has_the_table_the_verdicts_and_the_notebooks(outcome, home):
    assert outcome.ok and "not run" not in outcome.text, outcome.text
    page = (home / "reports" / "index.html").read_text()
    for word in (*SHOWN, "SAVEE", "DementiaBank", "numbers mean nothing", "without a verified published value"):
        assert word in page, word
    ran = {p.stem for p in (home / "reports" / "notebooks").glob("*.html")}
    assert ran == {"01_noss_tasks", "05_benchmark", "06_personalisation", "08_what_matters", "09_how_sure"}


def test_without_data_every_task_says_what_to_do(tmp_path, monkeypatch, call):
    for name in ("NSLIB_DATA_DIR", "NSLIB_CACHE", "NSLIB_REPORTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    code, out, err = call("reproduce", "--profile", "paper")
    assert code == 0, err
    page = (tmp_path / "NSLIB_REPORTS" / "index.html").read_text()
    assert all(f"{name} with" in out and get_task(name).title in page for name in SIX)
    for steps in ("AudioData.zip", "vox_dev_wav.zip", "voxforge_urls.txt", "dementia/English/Pitt"):
        assert steps in page, steps
