"""Fixtures of the tests that fetch models from a loopback hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, model_archive

from nslib.embeddings.hub import download, resolver
from nslib.embeddings.hub.sources import SOURCES


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder without models, a network, and no waiting between attempts."""
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    resolver.forget_failures()
    yield tmp_path / "models"
    resolver.forget_failures()


@pytest.fixture
def hub(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with every model, all of the same few files."""
    with Hub({name: model_archive() for name in SOURCES}) as served:
        monkeypatch.setenv("NSLIB_HUB_URL", served.url)
        yield served
