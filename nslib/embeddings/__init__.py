"""Speech embeddings under one contract: built in, or yours.

- `base`: the `Embedding` record, which is the contract, and `check`: does an embedding keep it
- `registry`: the built-in embeddings, what is known of them, and their loading
- `handmade` (log-mel, MFCC, openSMILE), `pretrained` (weights in packages), `hub` (published models of TF Hub),
  `networks` (the kit's own): what they are computed by; `downloads` fetches the weights
- `custom`, `files`, `interfaces`: embeddings of your functions, your files, your models of other libraries
- `runtime`, `backends`: threads, patches, frozen graphs, devices; LiteRT and 8 bits

Nothing heavy is imported and nothing is downloaded before `get`.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from nslib import config

if TYPE_CHECKING:
    from nslib.embeddings.base import CheckReport, Embedding, check
    from nslib.embeddings.custom import from_callable
    from nslib.embeddings.files import from_file, from_saved_model
    from nslib.embeddings.interfaces import from_model
    from nslib.embeddings.registry import compare_backends, describe, fingerprint, get, names, needs_extra

# without it TensorFlow takes all memory of every GPU at once; it is read when a GPU is first used
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
config.quieten_tensorflow()

__all__ = ["CheckReport", "Embedding", "check", "compare_backends", "describe", "fingerprint", "from_callable",
           "from_file", "from_model", "from_saved_model", "get", "names", "needs_extra"]

_MODULES = {"Embedding": "base", "CheckReport": "base", "check": "base", "from_callable": "custom",
            "from_file": "files", "from_saved_model": "files", "from_model": "interfaces",
            **dict.fromkeys(("compare_backends", "describe", "fingerprint", "get", "names", "needs_extra"), "registry")}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"nslib.embeddings.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'nslib.embeddings' has no attribute {name!r}")
