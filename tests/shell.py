"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from nslib import cli


def call(monkeypatch, capsys, *words):
    """Run `nslib words`; return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["nslib", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out = capsys.readouterr()
    return stop.value.code or 0, out.out, out.err
