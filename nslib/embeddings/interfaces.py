"""Models behind the interfaces of other libraries, told apart by the shape of what is given; none is imported for it.

Whether clips may share a batch is tried, on noise of many lengths and levels, then of one length; where neither gives a
clip the frames that it has alone, to 1e-5 of its largest number, clips go alone. Where a model hears so much at most
(Whisper 30 s), clips are cut into pieces of one length. Last frames that are zeros or copies in noise too are left out.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nslib import config
from nslib.audio import resample
from nslib.embeddings import custom
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray, IntArray, stack_clips
from nslib.embeddings.custom import to_array
from nslib.embeddings.files import choose, parse_options
from nslib.embeddings.runtime import make_noise, mark_ragged
from nslib.errors import NETWORK, BadParameter, Unavailable, UnknownName, failed_download, refuse_unknown

__all__ = ["find_interface", "from_model", "load_model"]

ALL = "all"


class _Ask(NamedTuple):
    """What is asked of a model: a name for messages, an inner layer or `ALL`, one of its outputs."""

    name: str
    layer: int | str | None
    key: int | str | None


class _Bound(NamedTuple):
    """A model as it is called: [clips, samples] and lengths to layers and counts of frames, None if it ignores them."""

    model: Any
    run: Callable[[FloatArray, IntArray], tuple[Sequence[Any], Any]]
    rate: int
    ask: _Ask
    window: float = 0.0  # seconds that it hears at a time; 0: all


def from_model(model: Any, name: str | None = None, *, layer: int | str | None = None, key: int | str | None = None,
               min_samples: int = 1_600, revision: str | None = None, **facts: Any) -> Embedding | list[Embedding]:
    """Make an embedding of a model of another library.

    Parameters
    ----------
    model : object
        A module of the HEAR API, or the pair of it and what its ``load_model`` gave; the pair of a transformers model
        and its feature extractor or processor; an ``S3PRLUpstream``; an audio encoder of MTEB, SpeechBrain or X-ARES;
        another torch.nn.Module or Keras model, ``[clips, samples]`` to ``[clips, dim]`` or ``[clips, frames, dim]``, of
        16 kHz if it has no ``sampling_rate``; a module is told ``lengths`` (and then gives frames and their counts) or
        ``wav_lens`` if it takes them.
    layer, key : int or str, optional
        Number of a hidden state (transformers, S3PRL), or name of a layer inside; ``"all"`` gives a list, an embedding
        a hidden state, computed in one pass and stored as one. Which of several outputs, of HEAR ``"scene"`` (default)
        or ``"timestamps"``. Default: what the model gives.
    name, min_samples, revision, **facts
        As of `nslib.embeddings.from_callable`. The time from frame to frame is measured.

    Raises
    ------
    BadParameter
        If the model is none of these, lacks what belongs to it or is asked for, or fails on noise; unknown options.
    """
    if (interface := find_interface(model)) is None:
        raise BadParameter(f"{type(model).__name__} has the shape of no model that is known ({', '.join(_INTERFACES)}; "
                           "of transformers the pair (model, feature_extractor)). Give a function.")
    main, beside = model if isinstance(model, tuple) else (model, None)
    main = custom.make_object(main)
    own = getattr(getattr(main, "config", None), "_name_or_path", "") or getattr(main, "__name__", type(main).__name__)
    asked = [f"layer{layer}" if isinstance(layer, int) else layer, key]
    name = name or "-".join([Path(own).name, *(str(part) for part in asked if part is not None)])
    refuse_unknown(f"option of {name}", facts, [*custom.OPTIONS, "layer", "key"])
    if layer is not None and interface in ("HEAR", "MTEB"):
        raise UnknownName(f"layer of {interface}'s models", layer, ())
    bound = _INTERFACES[interface][1](main, beside, _Ask(name, layer, key))
    made_of = [bound.ask[1:], bound.rate, *map(_list_parts, (main, bound.model, beside))]
    weights = sum(math.prod(weight.shape) for weight in getattr(bound.model, "parameters", list)())
    facts = {"source": f"{interface} ({type(main).__name__})", "parameters": weights, **facts}
    whole, layers = _make_embedding(bound, revision or custom.make_revision(made_of, name), min_samples, facts)
    if interface == "X-ARES" and layer is None and main.output_dim != whole.dim:
        raise BadParameter(f"{name} has output_dim {main.output_dim}, and vectors of {whole.dim} numbers: correct it.")
    return _cut_layers(whole, layers) if layer == ALL else whole


def _cut_layers(whole: Embedding, layers: int) -> list[Embedding]:
    """Make an embedding of each layer of one whose vectors are those of all layers side by side."""
    dim = whole.dim // layers

    def cut(start: int, *clips: Any) -> tuple[FloatArray, IntArray]:
        frames, counts = whole.embed(*clips)
        return frames[:, :, start:start + dim], counts

    return [replace(whole, name=f"{whole.name.removesuffix(f'-{ALL}')}-layer{k}", revision=f"{whole.revision} {k}",
                    dim=dim, part=(whole, k * dim), embed=partial(cut, k * dim),
                    output=whole.output.replace(ALL, str(k), 1)) for k in range(layers)]


def find_interface(model: Any) -> str | None:
    """Name the library whose models have the shape, or the kind of name, of what is given; None for another thing."""
    if isinstance(model, str):
        return next((library for library in _PACKAGES if model.startswith(f"{library}:")), None)
    main, beside = model if isinstance(model, tuple) and len(model) == 2 else (model, None)
    fits = beside is None or any(hasattr(beside, mark) for mark in _COMPANIONS)
    return next((k for k, (marks, _) in _INTERFACES.items() if fits and all(hasattr(main, m) for m in marks)), None)


# by the word before the colon, what pip has to install
_PACKAGES = {"hear": "torch, and the package of the model", "transformers": "torch transformers", "mteb": "torch mteb",
             "s3prl": "torch torchaudio espnet-s3prl", "speechbrain": "torch torchaudio speechbrain", "keras": "keras"}


def load_model(text: str) -> tuple[Any, dict[str, Any]]:
    """Load the model of ``library:name?option=value``, and tell the options; Unavailable without its packages."""
    path, options = parse_options(text)
    library, _, where = path.partition(":")
    module = {"hear": where, "s3prl": "s3prl.nn", "speechbrain": "speechbrain.inference"}.get(library, library)
    weights = [options.pop("weights")] if "weights" in options else []
    try:
        found: Any = importlib.import_module(module)
        return {"hear": lambda: (found, found.load_model(*weights)), "mteb": lambda: found.get_model(where),
                "transformers": lambda: tuple(kind.from_pretrained(where, local_files_only=config.offline())
                                              for kind in (found.AutoModel, found.AutoFeatureExtractor)),
                "s3prl": lambda: found.S3PRLUpstream(where, *weights), "keras": lambda: found.models.load_model(where),
                "speechbrain": lambda: found.EncoderClassifier.from_hparams(source=where)}[library](), options
    except ImportError as error:
        raise Unavailable(path, str(error), f"Type: python -m pip install {_PACKAGES[library]}") from error
    except Exception as error:  # anybody's code; that a name is not there is told in many ways
        if NETWORK.search(f"{type(error).__name__}: {error}"):
            raise failed_download(path, library, str(error), "NSLIB_OFFLINE=1 is set." * config.offline()) from error
        raise BadParameter(f"{path} cannot be loaded: {type(error).__name__}: {str(error)[:300]}") from error


def _make_embedding(bound: _Bound, revision: str, min_samples: int, facts: dict[str, Any]) -> tuple[Embedding, int]:
    """Find hop, filling and company by trial; tell how many layers lie side by side."""
    most, filling, single, layers, told = round(bound.window * SAMPLE_RATE), 0, False, 1, False

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        nonlocal layers, told
        pieces = [_cut_equally(wave[:n], most) for wave, n in zip(waves, lengths, strict=True)]
        with _at_rest(bound.model):
            made, counts = bound.run(*stack_clips([resample(p, SAMPLE_RATE, bound.rate) for s in pieces for p in s]))
        layers, told = len(made), counts is not None
        parts = [a[:, None] if a.ndim == 2 else a for a in map(to_array, made)]
        frames = np.concatenate(parts, axis=2) if layers > 1 else parts[0]
        valid = np.minimum(to_array(counts).astype(int) if told else [frames.shape[1]] * len(frames), frames.shape[1])
        if not (most or filling or single):  # nothing to leave out or to join: no copy is made
            return frames, np.maximum(valid, 1)
        rows = (row[:max(1, n - _count_filling(row[:n], filling))] for row, n in zip(frames, valid, strict=True))
        clips = [np.concatenate(list(itertools.islice(rows, len(parts)))) for parts in pieces]
        clips = [clip.mean(0, keepdims=True) for clip in clips] if single else clips
        return stack_clips(clips)

    def function(waves: FloatArray) -> FloatArray:
        return embed(waves, np.full(len(waves), waves.shape[1]))[0]

    name, lengths = bound.ask.name, [max(min_samples, n) for n in (16_480, 16_000, min(most or 48_000, 48_000), 0)]
    trials = [custom.call(function, make_noise(1, length), name)[0] for length in lengths]
    filling = max(_count_filling(frames, 4) for frames in trials)
    counts = [len(frames) - _count_filling(frames, filling) for frames in trials]
    # as many of a piece, whatever its length: they are no frames in time
    single = len({n / len(_cut_equally(make_noise(size), most)) for n, size in zip(counts, lengths, strict=True)}) == 1
    hop = 0.0 if single else (lengths[2] - lengths[1]) / SAMPLE_RATE / (counts[2] - counts[1])
    made = custom.wrap_function(function, name, revision, together=embed if told else None, tries=2 if most else 7,
                                min_samples=min_samples, pad="end", window=0.0, hop=hop, **facts)
    company = "share a batch" if made.pads_safely else "of one length share a batch"
    if not made.pads_safely and not custom.agrees(made, made.embed, np.full(3, lengths[0])):
        made = replace(made, embed=mark_ragged(custom.embed_one_by_one(function, name)), pads_safely=True)
        company = "go alone: company would change them"
    told_of = f"output {bound.ask.key or 0}" if bound.ask.layer is None else f"layer {bound.ask.layer}"
    return replace(made, output=f"{told_of}, {'one vector a clip' if single else 'mean over frames'}; clips {company}"
                   ), layers


def _cut_equally(wave: FloatArray, most: int) -> list[FloatArray]:
    """Cut a clip into as few pieces as do, of one length, which may share a sample; 0: it is not cut."""
    count = -(-len(wave) // most) if most else 1
    size = -(-len(wave) // count)
    return [wave[start:start + size] for start in np.linspace(0, len(wave) - size, count).round().astype(int)]


def _count_filling(frames: FloatArray, most: int) -> int:
    """Count the last frames, so many at most, that are zeros or copies of the one before."""
    filled = (not row.any() or np.array_equal(row, before) for row, before in itertools.pairwise(frames[:-most - 2:-1]))
    return len(list(itertools.takewhile(bool, filled)))


def _list_parts(thing: Any) -> Any:
    """List what decides what a model or its companion does, for a hash: layers and weights, settings, version."""
    if thing is None or hasattr(thing, "to_json_string"):
        return thing and thing.to_json_string()
    version = getattr(sys.modules.get(type(thing).__module__.partition(".")[0]), "__version__", "")
    seen = any(hasattr(thing, mark) for mark in ("__spec__", "state_dict", "get_weights"))
    return [version, _list_parts(getattr(thing, "config", None)), thing if seen else getattr(thing, "__dict__", thing)]


@contextlib.contextmanager
def _at_rest(model: Any) -> Iterator[None]:
    """Have a torch model not in training, and without gradients; afterwards it is as it was."""
    with contextlib.ExitStack() as stack:
        for module in getattr(model, "modules", list)():
            stack.callback(setattr, module, "training", module.training)
            module.training = False
        if "torch" in sys.modules:
            stack.enter_context(sys.modules["torch"].inference_mode())
        yield


def _to_tensor(array: Any, model: Any) -> Any:
    """Bring an array to a model's library, device and kind of floats."""
    if hasattr(model, "trainable_variables"):
        return importlib.import_module("tensorflow").constant(array)
    tensor = importlib.import_module("torch").as_tensor(array)
    weight = next((p for p in getattr(model, "parameters", list)() if p.is_floating_point()), tensor)
    return tensor.to(weight) if tensor.is_floating_point() else tensor.to(weight.device)


def _pick(made: Any, name: str, key: int | str | None, what: str = "output") -> Any:
    """Take what was asked for of the tensors of floats that a model gave, or the only one."""
    named = made.items() if hasattr(made, "items") else enumerate([made] if hasattr(made, "shape") else made)
    offered = {str(k): v for k, v in named if "float" in str(getattr(v, "dtype", ""))}
    return offered[choose(what, "key", key, {k: list(v.shape) for k, v in offered.items()}, Path(name))]


def _bind_torch(model: Any, beside: Any, ask: _Ask) -> _Bound:
    """Bind a torch module; its arguments say how it is told lengths: in samples, or as shares of the longest."""
    function, inside = getattr(model, "encode_batch", model), dict(model.named_modules())
    taken = inspect.signature(getattr(function, "forward", function)).parameters
    told = next((name for name in ("lengths", "wavs_len", "wav_lens") if name in taken), "")
    states = hasattr(model, "hidden_sizes")  # of S3PRL
    if ask.layer is not None and not states and ask.layer not in inside:
        raise UnknownName(f"layer of {ask.name}", ask.layer, [name for name in inside if name])

    def run(waves: FloatArray, lengths: IntArray) -> tuple[list[Any], Any]:
        shares, caught = (lengths / lengths.max()).astype(np.float32), list[Any]()
        given = {told: _to_tensor(shares if told == "wav_lens" else lengths, model)} if told else {}
        with contextlib.ExitStack() as stack:
            for part in [inside[str(ask.layer)]] if ask.layer is not None and not states else []:
                stack.callback(part.register_forward_hook(lambda *call: caught.append(call[2])).remove)
            made = function(_to_tensor(waves, model), **given)
        made, counts = made if told in ("lengths", "wavs_len") else [made, None]
        if states:
            last = len(made) - 1 if ask.layer is None else ask.layer
            return made if ask.layer == ALL else [_pick(made, ask.name, last, "layer")], counts[0]
        frames = _pick(caught[-1] if caught else made, ask.name, ask.key)
        if told == "wav_lens":
            counts = np.rint(shares * frames.shape[1]) if len(frames.shape) == 3 else np.ones(len(waves))
        return [frames], counts

    rate = getattr(getattr(model, "hparams", None), "sample_rate", getattr(model, "sampling_rate", SAMPLE_RATE))
    return _Bound(model, run, int(rate), ask)


def _bind_hear(module: Any, model: Any, ask: _Ask) -> _Bound:
    model = module.load_model() if model is None else model
    calls = {"scene": module.get_scene_embeddings,
             "timestamps": lambda sound, model: module.get_timestamp_embeddings(sound, model)[0]}
    key = choose("output", "key", ask.key or "scene", calls, Path(ask.name))
    return _Bound(model, lambda waves, lengths: ([calls[key](_to_tensor(waves, model), model)], None),
                  int(model.sample_rate), ask._replace(key=key))


def _bind_keras(model: Any, beside: Any, ask: _Ask) -> _Bound:
    if ask.layer is not None:
        layers = {layer.name: layer.output for layer in model.layers}
        inner = layers[choose("layer", "layer", ask.layer, layers, Path(ask.name))]
        model = importlib.import_module("keras").Model(model.input, inner)
    return _Bound(model, lambda waves, lengths: ([_pick(model(waves, training=False), ask.name, ask.key)], None),
                  int(getattr(model, "sampling_rate", SAMPLE_RATE)), ask)


def _bind_mteb(model: Any, beside: Any, ask: _Ask) -> _Bound:
    rate = int(getattr(model, "sampling_rate", SAMPLE_RATE))

    def run(waves: FloatArray, lengths: IntArray) -> tuple[list[Any], Any]:
        rows = [{"audio": {"array": wave[:n], "sampling_rate": rate}} for wave, n in zip(waves, lengths, strict=True)]
        loader = importlib.import_module("torch.utils.data").DataLoader(
            rows, batch_size=len(rows), collate_fn=lambda some: {"audio": [row["audio"] for row in some]})
        return [model.get_audio_embeddings(loader, show_progress_bar=False)], np.ones(len(rows))

    return _Bound(model, run, rate, ask, float(getattr(model, "max_audio_length_seconds", None) or 0))


def _bind_transformers(model: Any, processor: Any, ask: _Ask) -> _Bound:
    if processor is None:
        raise BadParameter(f"{ask.name} comes without its feature extractor; give the pair (model, feature_extractor).")
    extract, settings = getattr(processor, "feature_extractor", processor), model.config
    encoder = model.get_encoder() if getattr(settings, "is_encoder_decoder", False) else model
    encoder = getattr(model, "get_audio_features", encoder)
    taken, rate = inspect.signature(getattr(encoder, "forward", encoder)).parameters, int(extract.sampling_rate)
    # tokens that are patches of a spectrogram are no steps in time
    patches = hasattr(settings, "patch_size") or hasattr(model, "get_audio_features")
    ask = ask._replace(key=ask.key or ("pooler_output" if patches else "last_hidden_state"))

    def prepare(waves: Sequence[FloatArray], **how: Any) -> dict[str, Any]:
        given = dict(extract(waves, sampling_rate=rate, return_tensors="pt", return_attention_mask=True, **how))
        if not all(np.isfinite(to_array(value)).all() for value in given.values()):
            raise BadParameter(f"{ask.name}: features of {min(map(len, waves))} samples are NaN; raise min_samples.")
        return given

    one, two = ([value.shape for value in prepare([make_noise(s * rate)]).values()] for s in (1, 2))
    limits = [getattr(extract, mark) * step for mark, step in _LIMITS if hasattr(extract, mark)] if one == two else [0]
    if not limits:
        raise BadParameter(f"the features of {ask.name} are of a length that is not told; give a function that cuts.")

    def run(waves: FloatArray, lengths: IntArray) -> tuple[list[Any], Any]:
        given = prepare([wave[:n] for wave, n in zip(waves, lengths, strict=True)],
                        **{} if one == two else {"padding": True})
        mask = given.get("attention_mask")
        given = {k: _to_tensor(v, model) for k, v in given.items() if k != "attention_mask" or k in taken}
        made = encoder(**given, **{} if ask.layer is None else {"output_hidden_states": True})
        layers = [_pick(made, ask.name, ask.key)] if ask.layer is None else made.hidden_states
        layers = [_pick(layers, ask.name, ask.layer, "layer")] if ask.layer not in (None, ALL) else layers
        if patches:  # [clips, tokens, dim], [clips, dim, places, bands] or [clips, dim]
            return [t.mean({3: 1, 4: (2, 3)}[t.ndim]) if t.ndim > 2 else t for t in layers], np.ones(len(waves))
        if mask is None:
            return layers, None
        heard, frames = mask.sum(-1), layers[0].shape[1]
        count = getattr(model, "_get_feat_extract_output_lengths", lambda n: to_array(n) * frames / mask.shape[1])
        return layers, heard if mask.shape[1] == frames else np.ceil(to_array(count(heard)))

    return _Bound(model, run, rate, ask, limits[0] / rate)


# what a feature extractor calls the most that it hears, in samples; of AST in frames of 10 ms
_LIMITS = (("n_samples", 1), ("nb_max_samples", 1), ("max_length", 160))
# attributes by which models are told apart; those of a later library may be found in models of an earlier one
_INTERFACES: dict[str, tuple[tuple[str, ...], Callable[[Any, Any, _Ask], _Bound]]] = {
    "HEAR": (("load_model", "get_scene_embeddings", "get_timestamp_embeddings"), _bind_hear),
    "transformers": (("config", "main_input_name", "forward"), _bind_transformers),
    "S3PRL": (("hidden_sizes", "downsample_rates"), _bind_torch),
    "SpeechBrain": (("encode_batch",), _bind_torch), "MTEB": (("get_audio_embeddings",), _bind_mteb),
    "X-ARES": (("hop_size_in_ms", "sampling_rate", "output_dim", "forward"), _bind_torch),
    "Keras": (("get_weights", "get_layer", "inputs"), _bind_keras),
    "torch": (("state_dict", "named_modules", "forward"), _bind_torch)}
_COMPANIONS = ("feature_extractor", "sampling_rate", "scene_embedding_size", "timestamp_embedding_size")
