"""What the first cell of a workshop's notebooks calls: the settings and the prepared cache of the workshop's folder.

Conventions
-----------
``workshop.json`` beside the package holds the settings; where there is none, nothing is changed, so that the same
notebook runs in a checkout too. Only variables that are not set yet are set: who gives another cache keeps it.
"""

from __future__ import annotations

import json
import os

from nslib import params

FILE = "workshop.json"


def begin() -> None:
    """Use the recordings and weights of the workshop's folder, and nothing from the network; say so.

    Raises
    ------
    NslibError
        If the folder's cache is not there.
    """
    from nslib.errors import NslibError

    home = params.root()
    if not (home / FILE).exists():
        print("not in a workshop's folder: the settings of this machine count")
        return
    said = json.loads((home / FILE).read_text(encoding="utf-8"))
    cache = home / "cache"
    if not cache.is_dir():
        raise NslibError(f"{cache} is not there: unpack the whole zip file, and keep its folders together.")
    places = {"NSLIB_CACHE": str(cache), "NSLIB_REPORTS": str(home / "reports"), "NSLIB_OFFLINE": "1"}
    for name, value in {**places, **said["environment"]}.items():
        os.environ.setdefault(name, value)
    print(said["greeting"])
