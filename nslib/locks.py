"""Lock files: which versions they name for this Python and system, and whether these are installed."""

from __future__ import annotations

import importlib.metadata

from nslib import params


def lock_differences(lock: str = "requirements.lock") -> list[str]:
    """Compare what is installed with a lock file.

    Parameters
    ----------
    lock : str
        Name of the file.

    Returns
    -------
    list of str
        ``"numpy 2.4.6 is locked, 2.4.5 is installed"``; empty if all is as locked.
    """
    differ = []
    for name, version in pins(lock).items():
        if (here := installed(name)) != version:
            differ.append(f"{name} {version} is locked, {here or 'none'} is installed")
    return differ


def pins(lock: str = "requirements.lock") -> dict[str, str]:
    """Read the versions of a lock file that apply to this Python and system.

    Parameters
    ----------
    lock : str
        Name of a file in the kit's folder.

    Returns
    -------
    dict of str to str
        Package to version.
    """
    from packaging.markers import Marker

    found = {}
    for line in (params.root() / lock).read_text(encoding="utf-8").splitlines():
        pin, _, marker = line.rstrip(" \\").partition(" ; ")
        if "==" in pin and not pin.startswith(" ") and (not marker or Marker(marker).evaluate()):
            name, version = pin.split("==")
            found[name] = version
    return found


def installed(name: str) -> str:
    """Look up the version of a package.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        Empty if it is not installed.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
