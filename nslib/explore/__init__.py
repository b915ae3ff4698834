"""Explore by ear and eye: clips beside their neighbours, frames over time, and whom a voice resembles.

>>> from nslib import explore
>>> space = explore.space(clips, "trill-mini-top")       # doctest: +SKIP
>>> explore.listen(space, "some-clip")                   # a clip and its nearest neighbours, to play   # doctest: +SKIP
>>> explore.browse(space)                                # the same with menus, where widgets run       # doctest: +SKIP
>>> explore.over_time("voice.wav", "trill-mini-top")     # which window each vector covers              # doctest: +SKIP
>>> recorder = explore.Recorder(); recorder              # a microphone, or a file                      # doctest: +SKIP
>>> explore.resembles(space, recorder.clip())            # the nearest speakers, with a caution         # doctest: +SKIP
"""

from nslib.explore.frames import Timeline, over_time
from nslib.explore.microphone import Recorder
from nslib.explore.neighbours import Space, space
from nslib.explore.page import Page, listen
from nslib.explore.pictures import frames_over_time, resemblance
from nslib.explore.voices import Resemblance, resembles
from nslib.explore.widgets import Browser, browse

__all__ = ["Browser", "Page", "Recorder", "Resemblance", "Space", "Timeline", "browse", "frames_over_time", "listen",
           "over_time", "resemblance", "resembles", "space"]
