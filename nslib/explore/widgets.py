"""Menus to choose a clip with, where widgets run; the same page without menus where they don't.

Conventions
-----------
What is shown carries both: the widgets for a front end that has them (JupyterLab, Colab), and the page of the first
clip for one that hasn't (an executed notebook on a web page, GitHub). Without ipywidgets there is only the page.
"""

from __future__ import annotations

from typing import Any

from nslib.explore.neighbours import Space
from nslib.explore.page import Page, listen

ALL = "all"
_WIDGET = "application/vnd.jupyter.widget-view+json"


class Browser:
    """A clip, chosen by label and name, beside its nearest neighbours.

    Parameters
    ----------
    where : Space
    clip_id : str, optional
        The clip that is shown first; default: the first one.
    count : int
        Neighbours at first.

    Attributes
    ----------
    page : Page
        What is shown now.
    box : ipywidgets.VBox or None
        None where ipywidgets is not installed.
    """

    def __init__(self, where: Space, clip_id: str | None = None, count: int = 5):
        self.where = where
        first = clip_id or str(where.clips["clip_id"].iloc[0])
        self.page = listen(where, first, count)
        self.box = self._boxed(first, count)

    def _boxed(self, first: str, count: int) -> Any:
        try:
            import ipywidgets
        except ImportError:
            return None
        labels = [ALL, *sorted(set(self.where.clips["label"]))]
        self.label = ipywidgets.Dropdown(options=labels, value=ALL, description="label")
        self.clip = ipywidgets.Dropdown(options=self._clips(ALL), value=first, description="clip",
                                         layout={"width": "26em"})
        self.count = ipywidgets.IntSlider(value=count, min=1, max=10, description="neighbours", continuous_update=False)
        self.shown = ipywidgets.HTML(value=self.page.html)
        self.label.observe(self._narrow, "value")
        self.clip.observe(self._show, "value")
        self.count.observe(self._show, "value")
        return ipywidgets.VBox([ipywidgets.HBox([self.label, self.clip, self.count]), self.shown])

    def _clips(self, label: str) -> list[str]:
        clips = self.where.clips
        return list((clips if label == ALL else clips[clips["label"] == label])["clip_id"])

    def _narrow(self, change: Any) -> None:
        # the menu of clips picks its first one by itself, and that shows it
        self.clip.options = self._clips(change["new"])

    def _show(self, change: Any) -> None:
        if self.clip.value:
            self.page = listen(self.where, self.clip.value, self.count.value)
            self.shown.value = self.page.html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return with_widget(self.box, self.page)


def browse(where: Space, clip_id: str | None = None, count: int = 5) -> Browser:
    """Make a `Browser`.

    Parameters
    ----------
    where : Space
    clip_id : str, optional
    count : int

    Returns
    -------
    Browser
        Show it as the last line of a cell.

    Raises
    ------
    UnknownName
        If there is no such clip.
    """
    return Browser(where, clip_id, count)


def with_widget(box: Any, page: Page) -> dict[str, Any]:
    """Offer a widget to a front end that can show it, and a page to one that can't.

    Parameters
    ----------
    box : ipywidgets.Widget or None
    page : Page

    Returns
    -------
    dict
        A mime bundle.
    """
    bundle: dict[str, Any] = dict(page._repr_mimebundle_())
    if box is not None:
        bundle[_WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    return bundle
