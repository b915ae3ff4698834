"""JupyterLab as a reader meets it: a notebook run through the interface, clips chosen, a voice uploaded."""

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

NAME = "10_listen.ipynb"
MINUTE = 60_000  # milliseconds


@pytest.fixture
def lab(tmp_path):
    """Address of a running JupyterLab with copies of the notebooks, and nothing of this machine's user."""
    shutil.copytree(config.notebooks_dir(), tmp_path / "notebooks")
    # news and newer versions are not asked for: there may be no network
    for name, values in {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
                         "docmanager-extension/plugin": {"autosave": False}}.items():
        folder = tmp_path / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab"
        config.write_file(folder / f"{name}.jupyterlab-settings", json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
              "JUPYTERLAB_WORKSPACES_DIR", "NSLIB_REPORTS")
    environment = os.environ | {name: str(tmp_path / name) for name in places}
    environment |= {"CORPUS": "synthetic", "SMOKE": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp_path}",
               "--LabApp.extension_manager=readonly"]
    with open(tmp_path / "server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert server.poll() is None, (tmp_path / "server.log").read_text()[-3000:]
            with contextlib.suppress(OSError), \
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{NAME}?token={token}&reset"  # no tabs of before
    finally:
        server.terminate()  # it shuts its kernels down before it goes
        server.wait(60)


def run_all(page, path):
    """Choose Run > Run All Cells, and save until all is run."""
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
            code = [cell for cell in nbformat.read(path, as_version=4)["cells"] if cell["cell_type"] == "code"]
            failed = any(out["output_type"] == "error" for cell in code for out in cell["outputs"])
            if failed or all(cell["execution_count"] for cell in code):
                break


@pytest.mark.heavy
def test_a_notebook_runs_asks_no_other_host_and_its_menus_and_an_uploaded_voice_work(browser, lab, tmp_path):
    page, requests = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(lab)
    run_all(page, tmp_path / "notebooks" / NAME)
    assert notebook_rules.check_executed(tmp_path / "notebooks" / NAME) == []
    assert page.locator(".jp-Dialog, .jp-toast-message, .Toastify__toast").all_inner_texts() == []
    figure = page.locator(".jp-OutputArea-output img").last
    figure.scroll_into_view_if_needed()
    assert re.search(r"\d", figure.get_attribute("alt")) and figure.bounding_box()["width"] > 200
    menu = page.locator(".jupyter-widgets select").first
    before = page.locator(".widget-html-content figure").first.inner_html()
    menu.select_option(index=menu.locator("option").count() - 1)
    page.wait_for_function("before => document.querySelector('.widget-html-content figure').innerHTML != before",
                           arg=before, timeout=MINUTE)
    with page.expect_file_chooser() as chooser:
        page.click("button.widget-upload")
    chooser.value.set_files(audio.write_wav(tmp_path / "me.wav", tone(2.0)))
    page.wait_for_selector("button.widget-upload >> text=/\\(1\\)/", timeout=MINUTE)
    page.locator(".jp-CodeCell", has_text="read_upload(upload)").locator(".jp-InputPrompt").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".jp-OutputArea-output >> text=/compared: your recording, 2.00/", timeout=MINUTE)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    here = lab.split("/lab/")[0]
    assert [url for url in requests if not url.startswith((here, here.replace("http", "ws"), "data:", "blob:"))] == []
