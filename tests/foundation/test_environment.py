"""pyproject, lock files, environment.yml and what is installed must agree."""

import importlib.metadata
import platform
import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from nslib import config
from nslib.extraction.devices import is_cuda_supported

ROOT = config.root()


def pins(name: str) -> list[Requirement]:
    """Every pin in a lock file."""
    return [Requirement(line.rstrip(" \\")) for line in (ROOT / name).read_text().splitlines() if line[:1].isalnum()]


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {canonicalize_name(name): version for name, version in config.locked_versions().items()}


def test_every_declared_dependency_is_locked_within_its_bounds():
    for need in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]):
        if need.marker is None or need.marker.evaluate():
            assert Version(LOCK[canonicalize_name(need.name)]) in need.specifier, need


def test_what_is_installed_is_what_is_locked_and_says_that_it_is_for_this_python():
    facts = {name: importlib.metadata.metadata(name) for name in LOCK}
    assert {name: given["Version"] for name, given in facts.items()} == LOCK
    for name, given in facts.items():  # uv installs one that is for another; pip, which conda uses, refuses it
        assert platform.python_version() in SpecifierSet(given.get("Requires-Python") or ""), name


def test_locks_are_hashed_and_name_no_host_and_that_of_opensmile_agrees_with_the_main_one():
    for name in ("requirements.lock", "requirements-opensmile.lock", "requirements-gpu.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "index-url" not in text
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text.strip()))
    extra = config.locked_versions("requirements-opensmile.lock")
    assert "opensmile" in extra and all(LOCK.get(package, version) == version for package, version in extra.items())
    assert set(LOCK) == {canonicalize_name(pin.name) for pin in pins("requirements.lock")
                         if pin.marker is None or pin.marker.evaluate()}


def test_gpu_lock_has_what_tensorflow_needs_for_cuda_and_nothing_of_the_core():
    (extra,) = map(Requirement, PROJECT["optional-dependencies"]["gpu"])
    assert extra.name == "tensorflow" and LOCK["tensorflow"] in extra.specifier
    system = {"sys_platform": "linux", "platform_machine": "x86_64"}
    assert extra.marker.evaluate(system) and not extra.marker.evaluate({**system, "platform_machine": "aarch64"})
    locked = {canonicalize_name(pin.name): pin for pin in pins("requirements-gpu.lock")}
    assert not locked.keys() & {canonicalize_name(pin.name) for pin in pins("requirements.lock")}
    needed = [r for r in map(Requirement, importlib.metadata.requires("tensorflow"))
              if r.marker and r.marker.evaluate({"extra": "and-cuda"}) and not r.marker.evaluate({"extra": ""})]
    assert needed and all(Version(str(locked[canonicalize_name(r.name)].specifier)[2:]) in r.specifier for r in needed)
    for pin in locked.values():
        assert pin.marker.evaluate(system) and not pin.marker.evaluate({**system, "sys_platform": "darwin"})
    loader = importlib.metadata.distribution("tensorflow").locate_file("tensorflow/libtensorflow_framework.so.2")
    linked = "&& ln -sf ../../cusolver/lib/" in (ROOT / "Makefile").read_text()  # as long as the loader looks elsewhere
    assert not is_cuda_supported() or linked == (b"nvidia/cusolver/lib" not in loader.read_bytes())


def test_conda_environment_installs_the_lock():
    spec = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert {"pip": ["--require-hashes", "-r requirements.lock"]} in spec["dependencies"]
    python = next(d for d in spec["dependencies"] if str(d).startswith("python="))
    assert Version(python.split("=")[1] + ".0") in Requirement(f"x{PROJECT['requires-python']}").specifier


def test_drawings_match_their_sources():
    charts = list((ROOT / "data" / "charts").glob("*.dot"))
    assert len(charts) == 3
    for chart in charts:
        assert config.hash_file(chart) in chart.with_suffix(".svg").read_text(), f"run `make figures`: {chart.name}"
