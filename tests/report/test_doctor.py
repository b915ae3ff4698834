"""What doctor says of GPUs: with programs in the place of nvidia-smi."""

from nslib.extraction import devices
from nslib.report import doctor

TWO = "0, NVIDIA A100-SXM4-40GB, 40960, 40444, 550.54.15\n1, Tesla T4, [N/A], [N/A], 550.54.15\n"


def test_doctor_says_what_gpus_there_are_and_how_to_use_them(smi, monkeypatch):
    for says, code, state, detail in (("", 0, "note", "none found"), ("no driver\n", 9, "no", "no driver")):
        smi(says, code)
        (gpu,) = doctor.examine_gpus()
        assert gpu.state == state and detail in gpu.detail
    smi(TWO)
    monkeypatch.setattr(devices, "is_cuda_supported", lambda: True)
    monkeypatch.setattr(doctor, "lock_differences", lambda lock: [f"nvidia-cudnn-cu12 none in {lock}"])
    first, second = doctor.examine_gpus()
    assert (first.what, first.state, first.remedy) == ("GPU 0", "note", "make setup GPU=1")
    assert "43 GB (42 GB free), driver 550.54.15; not used: CUDA is not installed" in first.detail
    assert second.what == "GPU 1" and "GB" not in second.detail and "requirements-gpu.lock" in second.detail
    monkeypatch.setattr(doctor, "lock_differences", lambda lock: [])
    assert [(f.state, f.remedy) for f in doctor.examine_gpus()] == [("ok", ""), ("ok", "")]
    monkeypatch.setattr(devices, "is_cuda_supported", lambda: False)
    assert all("no CUDA on this system" in f.detail and not f.remedy for f in doctor.examine_gpus())
    monkeypatch.setattr(devices, "list_devices", lambda: ["CPU:0", "GPU:0"])
    monkeypatch.delenv(devices.DEVICES_VARIABLE, raising=False)
    assert [(f.what, f.state) for f in doctor.examine_devices()] == [("CPU:0", "note"), ("GPU:0", "ok")]
