"""gpus, and what doctor says of them: with programs in the place of nvidia-smi."""

from __future__ import annotations

import stat

import pytest

from nslib import doctor, gpus
from nslib.errors import Unavailable

TWO = "0, NVIDIA A100-SXM4-40GB, 40960, 40444, 550.54.15\n1, Tesla T4, [N/A], [N/A], 550.54.15\n"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put a program in the place of nvidia-smi."""

    def write(says, code=0):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\ncase \"$*\" in *--query-gpu=index,name,*) ;; *) exit 9;; esac\n"
                        f"cat <<'END'\n{says}END\nexit {code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


def test_listed(smi):
    smi(TWO)
    first, second = gpus.listed()
    assert first.name == "NVIDIA A100-SXM4-40GB" and first.index == 0 and first.driver == "550.54.15"
    assert first.memory_gb == pytest.approx(42.95, abs=0.01) and first.free_gb == pytest.approx(42.41, abs=0.01)
    assert (second.index, second.memory_gb, second.free_gb) == (1, None, None)


def test_none(smi, tmp_path, monkeypatch):
    smi("")
    assert gpus.listed() == []
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert gpus.listed() == []
    (found,) = doctor._gpus()
    assert found.state == "note" and "none found" in found.detail


@pytest.mark.parametrize("says, code", [("NVIDIA-SMI has failed: no driver\n", 9), ("what is this\n", 0)])
def test_failure_is_told_in_its_own_words(smi, says, code):
    smi(says, code)
    with pytest.raises(Unavailable, match=says.strip()):
        gpus.listed()
    (found,) = doctor._gpus()
    assert found.state == "no" and says.strip() in found.detail and "driver" in found.remedy


def test_doctor_says_how_to_use_them(smi, monkeypatch):
    smi(TWO)
    monkeypatch.setattr(gpus, "supported", lambda: True)
    asked = []
    monkeypatch.setattr(doctor, "lock_differences", lambda lock: asked.append(lock) or ["nvidia-cudnn-cu12 none"])
    first, second = doctor._gpus()
    assert (first.what, first.state, first.remedy) == ("GPU 0", "note", "make setup GPU=1")
    assert "43 GB (42 GB free), driver 550.54.15; not used: CUDA is not installed" in first.detail
    assert second.what == "GPU 1" and "GB" not in second.detail and set(asked) == {"requirements-gpu.lock"}
    monkeypatch.setattr(doctor, "lock_differences", lambda lock: [])
    assert [(f.state, f.remedy) for f in doctor._gpus()] == [("ok", ""), ("ok", "")]
    monkeypatch.setattr(gpus, "supported", lambda: False)
    assert all("no CUDA on this system" in f.detail and not f.remedy for f in doctor._gpus())


def test_devices_that_tensorflow_sees(monkeypatch):
    from nslib.extract import devices

    monkeypatch.setattr(devices, "present", lambda: ["CPU:0", "GPU:0"])
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    assert [(f.what, f.state) for f in doctor.device_findings()] == [("CPU:0", "note"), ("GPU:0", "ok")]
