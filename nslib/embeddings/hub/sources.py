"""Where the published models lie: on TF Hub, on Kaggle, and in a folder of yours.

References: the models' pages in github.com/tensorflow/tfhub.dev (assets/docs/google/models) and, for
YAMNet and VGGish, the TensorFlow Model Garden. TF Hub's addresses have redirected to Kaggle Models
since November 2023.

Conventions
-----------
A handle is what follows ``https://tfhub.dev/``. TRILLsson has two: the one of its page and the one
of the example on that page; they are tried in this order. A Kaggle handle ends in a version where
public code was seen that uses this version, otherwise Kaggle's newest is taken (TRILL and
TRILL-distilled). Sizes are those that the publishers state, else 4 bytes for each stated weight;
0 where nothing is stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nslib import params
from nslib.errors import BadParameter, UnknownName

TFHUB = "https://tfhub.dev"
KAGGLE = "https://www.kaggle.com/models"


@dataclass(frozen=True)
class Source:
    """Where a model can be had.

    Attributes
    ----------
    name : str
        Of its folder in `nslib.params.models_dir`.
    handles : tuple of str
        On TF Hub, in the order in which they are tried; none for a model that is on Kaggle only.
    kaggle : str
        Handle for kagglehub; empty if none is known.
    megabytes : float
        Size of the download; 0 if it is not known.
    """

    name: str
    handles: tuple[str, ...]
    kaggle: str
    megabytes: float = 0.0

    @property
    def folder(self) -> Path:
        """Path: where the model belongs; it need not exist."""
        return params.models_dir() / self.name

    @property
    def by_hand(self) -> str:
        """str: which files to put where, for a machine that cannot fetch them."""
        pages = [f"{TFHUB}/{self.handles[0]}"] if self.handles else []
        pages += [f"{KAGGLE}/{self.kaggle}"] if self.kaggle else []
        return (f"Put saved_model.pb and the folders variables and assets (what it has of them) of "
                f"{' (Kaggle: '.join(pages)}{')' * (len(pages) - 1)} into {self.folder}.")


_NOSS = "google/nonsemantic-speech-benchmark"


def _trillsson(number: int, megabytes: float) -> Source:
    name = f"trillsson{number}"
    handles = (f"{_NOSS}/{name}/1", f"google/{name}/1")
    return Source(name, handles, f"google/trillsson/tensorFlow2/{number}/1", megabytes)


_ALL = (
    Source("trill", (f"{_NOSS}/trill/3",), f"{_NOSS}/tensorFlow2/trill", 98.1),
    Source("trill-distilled", (f"{_NOSS}/trill-distilled/3",), f"{_NOSS}/tensorFlow2/trill-distilled"),
    Source("frill", (f"{_NOSS}/frill/1",), f"{_NOSS}/tensorFlow2/frill/1", 44.0),
    _trillsson(1, 22.0), _trillsson(2, 32.0), _trillsson(3, 86.0), _trillsson(4, 254.0), _trillsson(5, 314.0),
    Source("yamnet", ("google/yamnet/1",), "google/yamnet/tensorFlow2/yamnet/1", 15.0),
    Source("vggish", ("google/vggish/1",), "google/vggish/tensorFlow2/vggish/1", 288.0),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}


def get(name: str) -> Source:
    """Look up a published model.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.

    Returns
    -------
    Source

    Raises
    ------
    UnknownName
        For another name.
    """
    if name not in SOURCES:
        raise UnknownName("published model", name, SOURCES)
    return SOURCES[name]


def at(url: str) -> Source:
    """Find a model by its address, as one reads it in a browser.

    Parameters
    ----------
    url : str
        ``https://tfhub.dev/PUBLISHER/MODEL/VERSION``, the same at ``NSLIB_HUB_URL``, or
        ``https://www.kaggle.com/models/PUBLISHER/MODEL/TensorFlow2/VARIATION/VERSION``.

    Returns
    -------
    Source
        That of the kit for a model of `SOURCES`, so that nothing is fetched twice.

    Raises
    ------
    BadParameter
        For an address elsewhere.
    """
    places = dict.fromkeys((TFHUB, params.hub_url(), KAGGLE))
    place = next((one for one in places if url.startswith(f"{one}/")), "")
    # Kaggle's pages write TensorFlow2, its client tensorFlow2
    handle = url.removeprefix(place).strip("/").replace("/TensorFlow2/", "/tensorFlow2/")
    if not place or not handle:
        raise BadParameter(f"{url} is no address of a model; they begin with {', '.join(places)}. Download the model, "
                           "and give its folder or file.")
    name = "hub-" + handle.replace("/", "-")
    other = Source(name, (), handle) if place == KAGGLE else Source(name, (handle,), "")
    return next((one for one in SOURCES.values() if handle in (*one.handles, one.kaggle)), other)
