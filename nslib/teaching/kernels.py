"""Kernels that notebooks are run in: the Python that runs now, and nothing of the user's own settings."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["make_kernel_manager"]


def make_kernel_manager(scratch: str | Path) -> type:
    """Make a class of kernel managers that start this very Python, whatever a user-wide ``python3`` kernel would start.

    Parameters
    ----------
    scratch : path-like
        Empty folder in place of the user's IPython folder, whose start-up files could change what a notebook does.

    Returns
    -------
    type
        Of kernel managers, for nbclient and papermill.
    """
    import zmq
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", f"--ipython-dir={scratch}"]

    class ThisPython(AsyncKernelManager):
        @default("transport_encryption")
        def _encryption(self) -> str:
            return "auto" if zmq.has("curve") else "disabled"

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=argv, display_name="Python 3", language="python",
                              metadata={"supported_encryption": ["curve"]})

    return ThisPython
