"""JupyterLab as a reader meets it: notebooks run through the interface in a browser, clips chosen, a voice uploaded."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from helpers import tone

from nslib import audio, config
from nslib.teaching import notebook_rules

pytestmark = pytest.mark.heavy
FIRST, LISTEN = "00_start_here.ipynb", "10_listen.ipynb"
ERROR = "[data-mime-type='application/vnd.jupyter.error']"
MINUTE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with copies of the notebooks, Jupyter's settings, and nothing of this machine's user."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(config.notebooks_dir(), home / "notebooks")
    # news and newer versions are not asked for: there may be no network
    for name, values in {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
                         "docmanager-extension/plugin": {"autosave": False}}.items():
        folder = home / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab"
        config.write_file(folder / f"{name}.jupyterlab-settings", json.dumps(values))
    return home


@pytest.fixture(scope="module")
def lab(browser, home):
    """Address of a running JupyterLab; it and its kernels are gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
              "JUPYTERLAB_WORKSPACES_DIR", "NSLIB_REPORTS")
    environment = os.environ | {name: str(home / name) for name in places}
    environment |= {"CORPUS": "synthetic", "SMOKE": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home}",
               "--LabApp.extension_manager=readonly"]
    with open(home / "server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert server.poll() is None, (home / "server.log").read_text()[-3000:]
            with contextlib.suppress(OSError), \
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/%s?token={token}&reset"  # no tabs of before
    finally:
        server.terminate()  # it shuts its kernels down before it goes
        server.wait(60)


def run_all(page, lab, home, name):
    """Open a notebook, choose Run > Run All Cells, save until all is run, and read the notebook from disk."""
    page.goto(lab % name)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=MINUTE)
    # the ring in the toolbar says idle before there is a kernel; the status bar doesn't
    page.wait_for_selector(".jp-StatusBar-TextItem >> text=/\\| Idle$/", timeout=2 * MINUTE)
    page.click(".lm-MenuBar-itemLabel >> text=/^Run$/")
    page.click("li[data-command='runmenu:run-all']")
    page.wait_for_selector(".jp-InputPrompt >> text=/\\[\\*\\]|\\[1\\]/", timeout=MINUTE)
    for _ in range(160):
        page.wait_for_timeout(1500)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(300)
        with contextlib.suppress(nbformat.reader.NotJSONError):  # JupyterLab empties the file before it writes it
            node = nbformat.read(home / "notebooks" / name, as_version=4)
            code = [cell for cell in node["cells"] if cell["cell_type"] == "code"]
            failed = any(out["output_type"] == "error" for cell in code for out in cell["outputs"])
            if failed or all(cell["execution_count"] for cell in code):
                break
    return node


def test_the_first_notebook_runs_and_asks_no_other_host(browser, lab, home):
    requests = []
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.on("request", lambda request: requests.append(request.url))
    node = run_all(page, lab, home, FIRST)
    assert notebook_rules.check_executed(home / "notebooks" / FIRST) == [] and page.locator(ERROR).count() == 0
    assert page.locator(".jp-Dialog, .jp-toast-message, .Toastify__toast").all_inner_texts() == []
    outputs = [out for cell in node["cells"] for out in cell.get("outputs", [])]
    assert sum(out.get("text", "").startswith("✓") for out in outputs) >= 2
    figure = page.locator(".jp-OutputArea-output img").last
    figure.scroll_into_view_if_needed()
    assert re.search(r"\d", figure.get_attribute("alt")) and figure.bounding_box()["width"] > 200
    here = lab.split("/lab/")[0]
    assert [url for url in requests if not url.startswith((here, here.replace("http", "ws"), "data:", "blob:"))] == []
    page.close()


def test_clips_are_chosen_with_widgets_and_a_voice_from_a_file_is_compared(browser, lab, home):
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    run_all(page, lab, home, LISTEN)
    menu = page.locator(".jupyter-widgets select").first
    before = page.locator(".widget-html-content figure").first.inner_html()
    menu.select_option(index=menu.locator("option").count() - 1)
    page.wait_for_function("before => document.querySelector('.widget-html-content figure').innerHTML != before",
                           arg=before, timeout=MINUTE)
    voice = audio.write_wav(home / "me.wav", tone(2.0))
    with page.expect_file_chooser() as chooser:
        page.click("button.widget-upload")
    chooser.value.set_files(voice)
    page.wait_for_selector("button.widget-upload >> text=/\\(1\\)/", timeout=MINUTE)
    page.locator(".jp-CodeCell", has_text="read_upload(upload)").locator(".jp-InputPrompt").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".jp-OutputArea-output >> text=/compared: your recording, 2.00/", timeout=MINUTE)
    assert page.locator(ERROR).count() == 0
    page.close()
