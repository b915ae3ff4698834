"""Published models: where they are looked for, Kaggle's client, and what doctor says. No TensorFlow in here."""

from __future__ import annotations

import gzip
import hashlib
import sys
import types

import pytest
import requests
from hub_server import FILES, contents, left_over, write_model

from nslib import doctor, embeddings
from nslib.embeddings.cards import CARDS
from nslib.embeddings.hub import checksums, resolver, sources
from nslib.embeddings.hub.sources import SOURCES
from nslib.errors import BadParameter, Unavailable, UnknownName

pytest_plugins = ["hub_fixtures"]


# ---- where it is looked for -------------------------------------------------------------------------


def test_fetched_through_a_redirect_once(hub, models):
    folder = resolver.resolve("trill")
    assert folder == models / "trill"
    assert contents(folder) == FILES
    assert hub.requests[0][0] == "/google/nonsemantic-speech-benchmark/trill/3?tf-hub-format=compressed"
    assert hub.requests[1][0] == "/storage/trill.tar.gz"
    assert resolver.resolve("trill") == folder
    assert len(hub.requests) == 2
    assert left_over(models) == ["trill", "trill.json"]
    record = checksums.read("trill")
    assert record.sha256 == checksums.of(folder)
    assert record.origin == f"from {hub.url}/google/nonsemantic-speech-benchmark/trill/3"


def test_plain_tar_is_a_model_too(hub):
    hub.archives["frill"] = gzip.decompress(hub.archives["frill"])
    assert contents(resolver.resolve("frill")) == FILES


def test_a_folder_of_yours_needs_no_network(hub, models, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    write_model(models / "vggish")
    assert resolver.resolve("vggish") == models / "vggish"
    assert hub.requests == []


@pytest.mark.parametrize(("model", "address"), [
    ("trill", "https://tfhub.dev/google/nonsemantic-speech-benchmark/trill/3"),
    ("trillsson2", "https://tfhub.dev/google/nonsemantic-speech-benchmark/trillsson2/1"),
    ("trillsson2", "https://tfhub.dev/google/trillsson2/1"),
    ("vggish", "https://www.kaggle.com/models/google/vggish/TensorFlow2/vggish/1")])
def test_tfhubs_own_cache_is_used(models, tmp_path, monkeypatch, model, address):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "theirs"))
    place = write_model(tmp_path / "theirs" / hashlib.sha1(address.encode()).hexdigest())
    assert resolver.resolve(model) == place
    assert checksums.verified(model, place) == checksums.of(place)
    assert not [p for p in place.rglob("*.json")]


def test_offline_names_files_folder_and_handles(models, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable) as caught:
        resolver.resolve("trillsson3")
    text = str(caught.value)
    for word in ("saved_model.pb", "variables", str(models / "trillsson3"), "NSLIB_OFFLINE",
                 "tfhub.dev/google/nonsemantic-speech-benchmark/trillsson3/1", "google/trillsson/tensorFlow2/3/1"):
        assert word in text
    with pytest.raises(Unavailable, match="trillsson3"):
        embeddings.fingerprint("trillsson3")
    with pytest.raises(Unavailable, match="trillsson3"):
        embeddings.get("trillsson3")


def test_unknown_model():
    with pytest.raises(UnknownName, match="Did you mean"):
        resolver.resolve("tril")


def test_every_card_of_the_hub_has_a_source():
    from nslib.embeddings.hub.adapters import ADAPTERS

    cards = {name: card.hub for name, card in CARDS.items() if card.hub}
    assert cards == {name: adapter.model for name, adapter in ADAPTERS.items()}
    assert set(cards.values()) == set(SOURCES)
    assert len({source.folder for source in SOURCES.values()}) == len(SOURCES)


def test_folder_that_is_in_the_way(hub, models):
    (models / "yamnet" / "1").mkdir(parents=True)
    (models / "yamnet" / "1" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(Unavailable, match=r"Move what is in .*yamnet/1 to .*yamnet"):
        resolver.resolve("yamnet")
    (models / "frill").mkdir()
    (models / "frill" / "readme").write_text("x")
    with pytest.raises(Unavailable, match=r"should hold saved_model\.pb, but there is none"):
        resolver.resolve("frill")
    assert hub.requests == []
    (models / "frill" / "readme").unlink()
    assert contents(resolver.resolve("frill")) == FILES


# ---- Kaggle -----------------------------------------------------------------------------------------


@pytest.fixture
def kaggle(hub, monkeypatch):
    """Kaggle's client, as a list of the handles it was asked for and what it answers; TF Hub is the loopback hub."""
    client = types.ModuleType("kagglehub")
    client.__spec__ = types.SimpleNamespace(name="kagglehub")
    client.asked, client.answer = [], None

    def model_download(handle):
        client.asked.append(handle)
        if isinstance(client.answer, Exception):
            raise client.answer
        return str(client.answer)

    client.model_download = model_download
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.setattr(resolver, "TFHUB", hub.url)
    return client


def test_kaggle_first(kaggle, hub, models, tmp_path):
    kaggle.answer = write_model(tmp_path / "kaggle" / "1")
    assert resolver.resolve("yamnet") == models / "yamnet"
    assert contents(models / "yamnet") == FILES
    assert kaggle.asked == ["google/yamnet/tensorFlow2/yamnet/1"]
    assert hub.requests == []
    assert checksums.read("yamnet").origin == "from Kaggle, google/yamnet/tensorFlow2/yamnet/1"


@pytest.mark.parametrize("answer", ["nothing", "error"])
def test_hub_after_kaggle(kaggle, hub, tmp_path, answer):
    (tmp_path / "empty").mkdir()
    kaggle.answer = tmp_path / "empty" if answer == "nothing" else RuntimeError("consent needed\nmore")
    assert contents(resolver.resolve("yamnet")) == FILES
    hub.handles.clear()
    with pytest.raises(Unavailable, match="consent needed" if answer == "error" else r"holds no saved_model\.pb"):
        resolver.resolve("trill")


def test_kaggle_out_of_reach_is_asked_once(kaggle, hub):
    kaggle.answer = requests.exceptions.ConnectionError("no route")
    for name in ("yamnet", "trill", "frill"):
        assert contents(resolver.resolve(name)) == FILES
    assert len(kaggle.asked) == 1


def test_own_hub_and_missing_client(kaggle, hub, monkeypatch):
    hub.handles.clear()
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(Unavailable, match="make setup KAGGLE=1"):
        resolver.resolve("yamnet")
    monkeypatch.setitem(sys.modules, "kagglehub", kaggle)
    monkeypatch.setattr(resolver, "TFHUB", "https://tfhub.dev")
    with pytest.raises(Unavailable, match="404") as caught:
        resolver.resolve("yamnet")
    assert "Kaggle was asked" not in str(caught.value)
    assert kaggle.asked == []


# ---- doctor -----------------------------------------------------------------------------------------


def test_doctor_tells_what_is_here_without_asking(hub, models, monkeypatch):
    write_model(models / "trill")
    found = {f.what: f for f in doctor.embedding_findings()}
    assert found["trill-layer19"].state == "ok" and str(models / "trill") in found["trill-layer19"].detail
    assert found["trillsson5"].state == "note" and "314 MB" in found["trillsson5"].detail
    assert "not stated" in found["trill-distilled"].detail
    assert found["frill"].remedy == ""
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    found = {f.what: f for f in doctor.embedding_findings()}
    assert str(models / "frill") in found["frill"].remedy
    assert hub.requests == []


def test_sources_have_the_documented_handles():
    assert sources.get("trill").handles == ("google/nonsemantic-speech-benchmark/trill/3",)
    # the page's own address first, then the one of the example on the page
    assert sources.get("trillsson1").handles == ("google/nonsemantic-speech-benchmark/trillsson1/1",
                                                 "google/trillsson1/1")
    assert sources.get("vggish").kaggle == "google/vggish/tensorFlow2/vggish/1"


def test_any_address_of_the_hub_is_fetched_once(hub, models):
    hub.archives["other"], hub.handles["somebody/model/2"] = hub.archives["trill"], "other"
    folder = resolver.address(f"{hub.url}/somebody/model/2")
    assert contents(folder) == FILES and folder.name == "hub-somebody-model-2"
    asked = len(hub.requests)
    assert resolver.address(f"{hub.url}/somebody/model/2") == folder and len(hub.requests) == asked
    assert checksums.read(folder.name).origin == f"from {hub.url}/somebody/model/2"


@pytest.mark.parametrize("url", [
    "https://tfhub.dev/google/yamnet/1", "https://tfhub.dev/google/yamnet/1/",
    "https://www.kaggle.com/models/google/yamnet/TensorFlow2/yamnet/1",
    "https://www.kaggle.com/models/google/yamnet/tensorFlow2/yamnet/1"])
def test_the_address_of_a_model_that_the_kit_knows_leads_to_its_folder(url, models):
    write_model(models / "yamnet")
    assert resolver.address(url) == models / "yamnet"


def test_a_page_of_kaggle_is_asked_of_its_client_only(kaggle, hub, models, tmp_path, monkeypatch):
    url = "https://www.kaggle.com/models/somebody/model/TensorFlow2/small/3"
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(Unavailable, match=r"on Kaggle only: its client is not installed .*KAGGLE=1") as caught:
        resolver.address(url)
    assert f"{sources.KAGGLE}/somebody/model/tensorFlow2/small/3 into" in str(caught.value)
    monkeypatch.setitem(sys.modules, "kagglehub", kaggle)
    kaggle.answer = write_model(tmp_path / "kaggle" / "3")
    assert contents(resolver.address(url)) == FILES and hub.requests == []
    assert kaggle.asked == ["somebody/model/tensorFlow2/small/3"]


@pytest.mark.parametrize("url", ["https://example.org/a/b/1", "https://tfhub.dev", "https://tfhub.dev/",
                                 "https://tfhub.dev.example.org/a/1"])
def test_an_address_elsewhere_is_refused(url):
    with pytest.raises(BadParameter, match=r"no address of a model; they begin with https://tfhub\.dev"):
        sources.at(url)
