"""The Chromium that tests of pages and notebooks drive."""

from __future__ import annotations

import os
import shutil

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Where CI may install one, a run without it has not tested what readers see, and fails instead of skipping.
needs_browser = pytest.mark.skipif(
    not BROWSER and not (os.environ.get("CI") and shutil.which("apt-get")),
    reason="no Chromium here: install one (Debian: apt install chromium)")
