"""Explore by ear and eye: clips beside their neighbours, vectors over time, and whom a voice resembles.

Every dimension is centred and scaled by its mean and standard deviation over the clips of a space; the similarity of
two clips is the cosine of their scaled vectors, in [-1, 1]: 0 for clips that share nothing beyond the average. Clips
are told apart by their audio, not by their names. A recording is a `Clip`, a file, or float [samples] at 16 kHz. Vector
``t`` of a clip sees the audio from ``t * hop`` to ``t * hop + window`` seconds; with ``hop = 0`` there is one, which
sees all of it. Pages are plain HTML without scripts, sound and pictures inside; names and labels are escaped.
"""

from __future__ import annotations

import base64
import html
import io
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib import audio, config, frontend
from nslib.embeddings.base import Embedding, FloatArray
from nslib.errors import BadAudio, BadParameter, refuse_unknown
from nslib.evaluation.benchmark import load_embedding
from nslib.evaluation.classifiers import l2_normalise
from nslib.extraction.extract import embed_frames, extract_vectors, pad_clip
from nslib.figures.figure import INK, MUTED, RULE, Figure, make_axes, palette, with_style

__all__ = ["browse_clips", "build_space", "compare_voice", "embed_over_time", "plot_resemblance", "plot_timeline",
           "read_upload", "show_neighbours"]

FEWEST_CLIPS, MOST_CLIPS = 4, 5000
PAGE_SECONDS = 10.0  # more of a clip is neither drawn nor played on a page
_COLUMNS = ["clip_id", "audio", "sha256", "seconds", "label", "speaker"]
_SPEAKERS_DRAWN = 12

Recording = audio.Clip | str | Path | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Space:
    """Clips (columns clip_id, audio, sha256, seconds, label, speaker; "" if not known) and their scaled vectors."""

    embedding: Embedding
    clips: pd.DataFrame
    unit: FloatArray
    mean: FloatArray
    scale: FloatArray

    def row(self, clip_id: str) -> int:
        """Return the row of a clip; `UnknownName` with the nearest names if there is none."""
        names = list(self.clips["clip_id"])
        refuse_unknown("clip", clip_id, names)
        return names.index(clip_id)

    def nearest(self, clip: Recording, count: int = 5) -> pd.DataFrame:
        """Return the at most `count` clips with the highest ``similarity`` to a clip (its name) or a recording."""
        if count < 1:
            raise BadParameter(f"{count} neighbours were asked for; ask for 1 or more.")
        if isinstance(clip, str):
            row = self.row(clip)
            vector, key = self.unit[row], str(self.clips["sha256"].iloc[row])
        else:
            wave = _decode(clip)
            vector, key = self.place(wave), audio.sha256(wave)
        others = np.flatnonzero(self.clips["sha256"].to_numpy(str) != key)
        similarity = np.clip(self.unit[others] @ vector, -1, 1)
        best = np.argsort(-similarity, kind="stable")[:count]
        return self.clips.iloc[others[best]].assign(similarity=similarity[best]).reset_index(drop=True)

    def place(self, wave: FloatArray) -> FloatArray:
        """Embed a waveform, float32 [samples] at 16 kHz, and scale its vector as the others: float32 [dim]."""
        vector = embed_frames(wave, self.embedding).astype(np.float64).mean(0)
        return l2_normalise([(vector - self.mean) / self.scale])[0].astype(np.float32)

    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """Return similarities, float32 [pairs], of pairs of clips of one speaker and of two, if known and not equal."""
        speaker, similarity = self._compare_known()
        upper = np.triu(np.isfinite(similarity), 1)
        same = speaker[:, None] == speaker
        return similarity[upper & same], similarity[upper & ~same]

    def own_first(self) -> tuple[float, float]:
        """Return the share of clips whose most similar speaker is their own, itself left out, and the chance of it."""
        speaker, similarity = self._compare_known()
        if not len(speaker):
            raise BadParameter("these clips have no known speakers: choose a task that has speakers.")
        names, member = np.unique(speaker, return_inverse=True)
        means = pd.DataFrame(similarity).groupby(member).mean().to_numpy()  # [speakers, clips]
        asked = np.isfinite(means[member, np.arange(len(member))])
        return float((np.nanargmax(means[:, asked], 0) == member[asked]).mean()), 1 / len(names)

    def _compare_known(self) -> tuple[npt.NDArray[np.str_], FloatArray]:
        """Return speaker and similarities of the clips whose speaker is known; NaN where two have the same audio."""
        table = self.clips[self.clips["speaker"] != ""]
        key, unit = table["sha256"].to_numpy(str), self.unit[self.clips["speaker"] != ""]
        return table["speaker"].to_numpy(str), np.where(key[:, None] == key, np.nan, unit @ unit.T).astype(np.float32)


def build_space(clips: pd.DataFrame, embedding: str | Embedding, *, progress: bool = True) -> Space:
    """Embed 4 to 5000 clips of a clip table and make them comparable; a warning counts those that cannot be used."""
    if not FEWEST_CLIPS <= len(clips) <= MOST_CLIPS:
        raise BadParameter(f"{len(clips)} clips: give {FEWEST_CLIPS} to {MOST_CLIPS}, e.g. clips.sample({MOST_CLIPS}).")
    model = load_embedding(embedding)
    done = extract_vectors(clips, model, progress=progress)
    if len(lost := done.problems):
        first = lost.iloc[0]
        warnings.warn(f"{len(lost)} of {len(clips)} clips cannot be embedded and are not in the space, the first is "
                      f"{first['clip_id']}: {first['reason']}. {first['remedy']}", stacklevel=2)
    vectors = np.asarray(done.vectors, dtype=np.float64)
    mean, scale = vectors.mean(0), vectors.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    about = done.clips[_COLUMNS].fillna({"label": "", "speaker": ""})
    made = (x.astype(np.float32) for x in (l2_normalise((vectors - mean) / scale), mean, scale))
    return Space(model, about, *made)


def _decode(recording: Recording) -> FloatArray:
    if isinstance(recording, audio.Clip):
        return recording.wave
    return (audio.read(recording) if isinstance(recording, str | Path) else audio.from_array(recording)).wave


@dataclass(frozen=True)
class Resemblance:
    """Whom a voice resembles."""

    speakers: pd.DataFrame
    same: float
    other: float
    right: float
    embedding: str

    @property
    def caution(self) -> str:
        """str: what the numbers can and cannot say."""
        first = self.speakers.iloc[0]
        return (f"Nearest of {len(self.speakers)} speakers: {first['speaker']}, similarity {first['similarity']:.2f}.\n"
                f"Two clips of one speaker have {self.same:.2f} here, of two {self.other:.2f} (medians); a clip "
                f"of these very speakers has its own as the nearest in {self.right:.0%} of the cases.\n"
                "Resemblance is no identification: somebody is always the nearest, and a microphone, a room or a mood "
                "can matter more than the voice.")


def compare_voice(space: Space, recording: Recording) -> Resemblance:
    """Compare a recording with the speakers (two or more) of a space; a clip with this very audio is left out."""
    if len(set(space.clips["speaker"]) - {""}) < 2:
        raise BadParameter("these clips have fewer than two known speakers: choose a task that has speakers.")
    near = space.nearest(_decode(recording), len(space.clips))
    by = near[near["speaker"] != ""].groupby("speaker")["similarity"]
    columns = {"similarity": by.mean(), "low": by.quantile(0.1), "high": by.quantile(0.9), "clips": by.size()}
    table = pd.DataFrame(columns).sort_values("similarity", ascending=False, kind="stable").reset_index()
    same, other = (float(np.median(values)) if len(values) else float("nan") for values in space.pairs())
    return Resemblance(table, same, other, space.own_first()[0], space.embedding.name)


def read_upload(upload: Any) -> audio.Clip | None:
    """Decode the file chosen in an ``ipywidgets.FileUpload`` (of ipywidgets 7, on Colab, or 8); None if none was."""
    value = upload.value
    if not value:
        return None
    chosen = {"name": next(iter(value)), **next(iter(value.values()))} if isinstance(value, dict) else value[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(chosen["name"]).name
        path.write_bytes(bytes(chosen["content"]))
        return audio.read(path)


@with_style
def plot_resemblance(resemblance: Resemblance, *, name: str = "resemblance") -> Figure:
    """Draw the nearest twelve speakers beside what is usual between clips; the table has all speakers."""
    shown = resemblance.speakers.head(_SPEAKERS_DRAWN)
    fig, (axes,) = make_axes(7, 1.3 + 0.27 * len(shown))
    rows = range(len(shown))
    axes.hlines(rows, shown["low"], shown["high"], color=palette(1)[0], linewidth=4, alpha=0.45,
                label="middle 80 % of clips")
    axes.plot(shown["similarity"], rows, "o", color=INK, markersize=5, label="mean over the speaker's clips")
    medians = ((resemblance.same, "one speaker", (0, (5, 2))), (resemblance.other, "two speakers", (0, (1, 2))))
    for value, text, dash in medians:
        if np.isfinite(value):
            axes.axvline(value, color=MUTED, linestyle=dash, linewidth=1.2, label=f"two clips of {text}, median")
    axes.set(yticks=list(rows), yticklabels=shown["speaker"], ylim=(len(shown) - 0.5, -0.5),
             xlabel="similarity (cosine)")
    axes.set_title(f"whom it resembles, {resemblance.embedding}: no identification")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    listed = ", ".join(f"{row.speaker} {row.similarity:.2f}" for row in shown.head(3).itertuples())
    alt = (f"Similarity of a recording to {len(resemblance.speakers)} speakers in the space of "
           f"{resemblance.embedding}; the nearest: {listed}. Two clips of one speaker have {resemblance.same:.2f}, of "
           f"two {resemblance.other:.2f} (medians).")
    return Figure(name, fig, alt, resemblance.speakers)


@dataclass(frozen=True)
class Timeline:
    """Vectors of one clip over time: `wave` float32 [samples] at 16 kHz, `vectors` float32 [frames, dim]."""

    embedding: str
    wave: FloatArray
    vectors: FloatArray
    table: pd.DataFrame


def embed_over_time(recording: Recording, embedding: str | Embedding) -> Timeline:
    """Embed one clip and say of every vector which seconds it covers."""
    model, wave = load_embedding(embedding), _decode(recording)
    vectors = embed_frames(wave, model)
    start = np.arange(len(vectors)) * model.hop
    end = start + (model.window if model.hop else len(pad_clip(wave, model)) / audio.SAMPLE_RATE)
    unit = l2_normalise(vectors)
    table = pd.DataFrame({"frame": np.arange(len(vectors)), "start": start, "end": end,
                          "padding": np.maximum(0.0, end - np.maximum(len(wave) / audio.SAMPLE_RATE, start)),
                          "change": np.r_[np.nan, 1 - (unit[1:] * unit[:-1]).sum(1)].astype(np.float32)})
    return Timeline(model.name, wave, vectors, table)


@with_style
def plot_timeline(timeline: Timeline, *, name: str = "frames_over_time") -> Figure:
    """Draw a clip's log-mel picture, the window that each vector covers, and where the vectors change."""
    table, seconds = timeline.table, len(timeline.wave) / audio.SAMPLE_RATE
    count = "1 vector" if len(table) == 1 else f"{len(table)} vectors"
    heights = [1.8, min(0.4 + 0.09 * len(table), 2.2), 0.9]
    fig, (picture, windows, change) = make_axes(8, 0.8 + sum(heights), 3, 1, height_ratios=heights, sharex=True)
    values = _log_mel(timeline.wave)
    extent = (0, len(values) * frontend.HOP / frontend.SAMPLE_RATE, 0, values.shape[1])
    picture.imshow(values.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    picture.set(ylabel="mel band")
    windows.barh(table["frame"], table["end"] - table["start"], left=table["start"], height=0.7, color=palette(1)[0])
    windows.set(ylabel="vector", ylim=(len(table) - 0.4, -0.6), yticks=sorted({0, len(table) - 1}))
    change.plot(table["start"], table["change"], "o-", color=INK, markersize=3, linewidth=1)
    change.set(ylabel="change", ylim=(0, None), xlim=(0, max(seconds, float(table["end"].max()))),
               xlabel="seconds (dashed: end of the clip; what lies right of it is padding)")
    for axis in (windows, change):
        axis.axvline(seconds, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axis.grid(axis="x", color=RULE)
    picture.set_title(f"{timeline.embedding}: {count}, {seconds:.2f} s")
    first, last = table.iloc[0], table.iloc[-1]
    step = f", one every {table['start'].iloc[1]:.3g} s" if len(table) > 1 else ""
    alt = (f"A clip of {seconds:.2f} s with its log-mel picture, the windows of {count} of {timeline.embedding} below "
           f"it{step}: the first from {first['start']:.2f} to {first['end']:.2f} s, the last from "
           f"{last['start']:.2f} to {last['end']:.2f} s.")
    if len(table) > 1:
        most = table.loc[table["change"].idxmax()]
        alt += f" The largest change, {most['change']:.3f}, is at the vector that starts at {most['start']:.2f} s."
    return Figure(name, fig, alt, table)


def _log_mel(wave: FloatArray) -> FloatArray:
    """Return the log-mel values of a wave, padded to one frame if it is shorter: float32 [frames, bands]."""
    return frontend.log_mel(np.pad(wave, (0, max(0, frontend.WINDOW - len(wave)))))


@dataclass(frozen=True)
class Page:
    """Something to look at and to listen to: plain HTML, and the same as text without pictures and sound."""

    html: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def save(self, path: str | Path) -> Path:
        """Write the page into a file that a browser opens, and return its path."""
        head = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>nslib: listen</title>'
        config.write_file(Path(path), f"{head}\n<body>{self.html}</body></html>\n")
        return Path(path)


def show_neighbours(space: Space, clip: Recording, count: int = 5) -> Page:
    """Show a clip of the space (its ``clip_id``), or a decoded recording, and its neighbours: players and pictures."""
    if isinstance(clip, str):
        row, title = space.clips.iloc[space.row(clip)], clip
        cards = [_card("this clip", f"{clip}: {_describe(row)}", audio.read(row["audio"]).wave)]
    else:
        wave, title = _decode(clip), "the recording"
        cards = [_card("this recording", f"{len(wave) / audio.SAMPLE_RATE:.2f} s", wave)]
    near = space.nearest(clip, count)
    lines = [f"{title}, and its nearest neighbours in {space.embedding.name}:"]
    for rank, (_, row) in enumerate(near.iterrows(), 1):
        heading, text = f"neighbour {rank}, similarity {row['similarity']:.2f}", f"{row['clip_id']}: {_describe(row)}"
        try:
            cards.append(_card(heading, text, audio.read(row["audio"]).wave))
        except BadAudio as error:
            cards.append(_frame(heading, f"<p>{html.escape(str(error))}</p>", text))
        lines.append(f"  {row['similarity']:.2f}  {row['clip_id']}  {_describe(row)}")
    return Page(f'<div style="display:flex;flex-wrap:wrap;gap:14px">{"".join(cards)}</div>', "\n".join(lines))


def _describe(row: Any) -> str:
    kinds = ("speaker",) if row["label"] == row["speaker"] else ("label", "speaker")
    return ", ".join([*(f"{kind} {row[kind]}" for kind in kinds if row[kind]), f"{row['seconds']:.2f} s"])


def _card(heading: str, text: str, wave: FloatArray) -> str:
    """Return picture and player of a clip; the card says so where only its beginning is on the page."""
    from IPython.display import Audio

    cut = wave[: round(PAGE_SECONDS * audio.SAMPLE_RATE)]
    loud = max(1.0, float(np.abs(cut).max(initial=0.0)))  # a peak above 1 is scaled down to 1 for the ear
    player = Audio(cut / loud, rate=audio.SAMPLE_RATE, normalize=False)._repr_html_()
    more = "" if len(cut) == len(wave) else f" (the first {PAGE_SECONDS:g} s are shown)"
    return _frame(heading, f"{_picture(cut, f'{heading}: {text}')}<br>{player}", text + more)


def _frame(heading: str, body: str, text: str) -> str:
    return (f'<figure style="margin:0;width:300px"><div style="font-weight:bold">{html.escape(heading)}</div>{body}'
            f'<figcaption style="font-size:90%;line-height:1.3;overflow-wrap:anywhere">{html.escape(text)}</figcaption>'
            "</figure>")


def _picture(wave: FloatArray, about: str) -> str:
    """Return a log-mel picture as an ``img`` element with its text: time to the right, low bands at the bottom."""
    from matplotlib import image

    values = _log_mel(wave)
    buffer = io.BytesIO()
    image.imsave(buffer, values.T[::-1], cmap="magma", format="png")
    loudest = values.mean(1).argmax() * frontend.HOP / audio.SAMPLE_RATE
    alt = (f"Log-mel picture of {about}: {len(values)} frames by {values.shape[1]} bands, values {values.min():.1f} to "
           f"{values.max():.1f}, loudest at {loudest:.2f} s.")
    return (f'<img alt="{html.escape(alt)}" style="width:290px;height:96px;image-rendering:pixelated" '
            f'src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">')


def browse_clips(space: Space, clip_id: str | None = None, count: int = 5) -> Browser:
    """Show a clip (default: the first) beside its neighbours, with menus; without widgets, its page is shown."""
    return Browser(space, clip_id or str(space.clips["clip_id"].iloc[0]), count)


class Browser:
    """Menus above a `Page`; no widget itself: on Colab (ipywidgets 7) those have no fallback for other front ends."""

    def __init__(self, space: Space, clip_id: str, count: int):
        import ipywidgets

        self.space = space
        names = [(f"{row.label}: {row.clip_id}", row.clip_id) for row in space.clips.sort_values("label").itertuples()]
        self.clip = ipywidgets.Dropdown(options=names, value=clip_id, description="clip", layout={"width": "36em"})
        self.count = ipywidgets.IntSlider(value=count, min=1, max=10, description="neighbours", continuous_update=False)
        self.shown = ipywidgets.HTML()
        self.box = ipywidgets.VBox([ipywidgets.HBox([self.clip, self.count]), self.shown])
        self._show()
        for menu in (self.clip, self.count):
            menu.observe(self._show, "value")

    def _show(self, change: object = None) -> None:
        self.page = show_neighbours(self.space, self.clip.value, self.count.value)
        self.shown.value = self.page.html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {**self.page._repr_mimebundle_(), "application/vnd.jupyter.widget-view+json": view}
