"""Your own voice: from the browser's microphone, or from a file.

The sound is taken in the browser (`MediaRecorder`_) and handed to the kernel: in JupyterLab through a hidden text
widget, on Colab through its callback from page to kernel. Browsers give a page a microphone on https and on localhost
only, and ask first. Where there is none, the recorder says so, and a file does as well.

.. _MediaRecorder: https://www.w3.org/TR/mediastream-recording/

Conventions
-----------
A recording is decoded from a temporary file that is gone at once, and stays in the memory of the kernel. It is not
stored with the vectors and not sent anywhere. What shows it in a notebook, such as a player, is saved with that
notebook's outputs.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from nslib import audio
from nslib.errors import BadAudio, NslibError
from nslib.explore.page import Page, player
from nslib.explore.widgets import with_widget

LONGEST = 60.0
CALLBACK = "nslib.recorded"

_DATA_URL = re.compile(r"data:(?:audio|video)/(\w+)[^,]*;base64,(.+)", re.DOTALL)
_ENDINGS = {"webm": ".webm", "ogg": ".ogg", "mp4": ".mp4", "wav": ".wav", "mpeg": ".mp3"}
_HOW = ("Record a few seconds with a telephone or any program, put the file beside the notebook, and give its name: "
        "Recorder(file=\"me.wav\"). Most formats are read.")
_TO_WIDGET = """const area = button.closest(".nslib-recorder-box").querySelector("textarea");
  area.value = data; area.dispatchEvent(new Event("input", {bubbles: true}));
  area.dispatchEvent(new Event("change", {bubbles: true}));"""
_TO_COLAB = 'google.colab.kernel.invokeFunction("%s", [data], {});'
_SCRIPT = """(async (button) => {
const root = button.parentElement, said = root.querySelector("span");
const deliver = (data) => { %s };
if (root.running) { root.running.stop(); return; }
let stream;
try { stream = await navigator.mediaDevices.getUserMedia({audio: true}); }
catch (error) {
  said.textContent = "No microphone (" + (window.isSecureContext ? error.message
    : "browsers allow it on https and on localhost only") + "): choose a file instead.";
  return;
}
const parts = [], recorder = new MediaRecorder(stream);
recorder.ondataavailable = (event) => parts.push(event.data);
recorder.onstop = () => {
  stream.getTracks().forEach((track) => track.stop());
  root.running = null; button.textContent = "Record again"; said.textContent = "Recorded: run the next cell.";
  const reader = new FileReader();
  reader.onload = () => deliver(reader.result);
  reader.readAsDataURL(new Blob(parts, {type: recorder.mimeType}));
};
root.running = recorder; recorder.start();
button.textContent = "Stop"; said.textContent = "Recording (at most %d s) ...";
setTimeout(() => { if (recorder.state === "recording") recorder.stop(); }, %d);
})(this)"""


class Recorder:
    """A button that records, a field that takes a file, and what came of it.

    Parameters
    ----------
    seconds : float
        A recording stops by itself after this; at most `LONGEST`.
    file : path-like, optional
        A recording that there is already; no microphone is asked for then.

    Raises
    ------
    NslibError
        If `seconds` is outside 0 to `LONGEST`.
    BadAudio
        If `file` cannot be used.
    """

    def __init__(self, seconds: float = 10.0, file: str | Path | None = None):
        if not 0 < seconds <= LONGEST:
            raise NslibError(f"a recording of {seconds:g} s was asked for; give more than 0 and at most {LONGEST:g}.")
        self.seconds = seconds
        self.heard: audio.Clip | None = audio.read(file) if file else None
        self.trouble = ""
        self.box = None if file else self._boxed()

    @property
    def ready(self) -> bool:
        """bool: whether there is a recording."""
        return self.heard is not None

    def clip(self) -> audio.Clip:
        """Give what was recorded.

        Returns
        -------
        Clip
            Mono, 16 kHz.

        Raises
        ------
        NslibError
            If nothing was, with how it can be done.

        Warns
        -----
        UserWarning
            If the last recording could not be used, and this is the one before it.
        """
        if self.heard is None:
            why = f" ({self.trouble})" if self.trouble else ""
            raise NslibError(f"nothing has been recorded yet{why}: show the recorder in a cell, press Record and "
                             f"speak. Where there is no microphone: {_HOW}")
        if self.trouble:
            warnings.warn(f"the last recording cannot be used ({self.trouble}); this is the one before it.",
                          stacklevel=2)
        return self.heard

    def take(self, data: str) -> None:
        """Take a recording from the browser.

        Parameters
        ----------
        data : str
            As a data URL: ``data:audio/webm;codecs=opus;base64,...``. What cannot be used is kept as `trouble`;
            an older recording then stays, and `clip` says that it is older.
        """
        found = _DATA_URL.fullmatch(data.strip())
        if not found:
            self.trouble = f"the browser sent no sound but {data[:40]!r}"
            return
        try:
            self._decode(base64.b64decode(found[2], validate=True), _ENDINGS.get(found[1], ".webm"))
        except binascii.Error:
            self.trouble = "what the browser sent was cut short"

    def _decode(self, content: bytes, ending: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"recording{ending}"
            path.write_bytes(content)
            try:
                self.heard, self.trouble = audio.read(path), ""
            except BadAudio as error:
                self.trouble = error.reason

    def _boxed(self) -> Any:
        try:
            import ipywidgets
        except ImportError:
            return None
        if "google.colab" in sys.modules:
            return None
        self.button = ipywidgets.HTML(value=self.page_button(_TO_WIDGET))
        self.area = ipywidgets.Textarea(layout={"display": "none"})
        self.upload = ipywidgets.FileUpload(accept="audio/*", multiple=False, description="or a file")
        self.area.observe(lambda change: self._arrived(change["new"]), "value")
        self.upload.observe(lambda change: self._uploaded(change["new"]), "value")
        box = ipywidgets.VBox([self.button, self.upload, self.area])
        box.add_class("nslib-recorder-box")
        return box

    def _arrived(self, data: str) -> None:
        if data:
            self.area.value = ""  # the state of widgets can be saved with a notebook; a voice should not be in it
            self.take(data)

    def _uploaded(self, value: Any) -> None:
        """Take what the field for files has; ipywidgets 7 names files by the keys of a dict, 8 by an entry."""
        if isinstance(value, dict):
            files = [(name, entry["content"]) for name, entry in value.items()]
        else:
            files = [(entry["name"], entry["content"]) for entry in value]
        for name, content in files[:1]:
            self._decode(bytes(content), Path(name).suffix or ".wav")

    def page_button(self, deliver: str) -> str:
        """Make the button.

        Parameters
        ----------
        deliver : str
            JavaScript that hands ``data`` over to the kernel.

        Returns
        -------
        str
            HTML.
        """
        script = _SCRIPT % (deliver, self.seconds, 1000 * self.seconds)
        return (f'<div><button type="button" onclick="{html.escape(script)}">Record</button> '
                '<span role="status">Press and speak; press again to stop.</span></div>')

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.heard is not None:
            text = f"a recording of {self.heard.seconds:.2f} s"
            return Page(f"<p>{text}</p>{player(self.heard.wave)}", text)._repr_mimebundle_()
        if "google.colab" in sys.modules:
            _colab_output().register_callback(CALLBACK, self.take)
            return Page(self.page_button(_TO_COLAB % CALLBACK), "a recorder")._repr_mimebundle_()
        text = f"Here no microphone can be used. {_HOW}"
        return with_widget(self.box, Page(f"<p>{html.escape(text)}</p>", text))


def _colab_output() -> Any:
    from google.colab import output

    return output


