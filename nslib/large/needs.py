"""Memory and disk that a grid of probes needs, held at once or streamed.

Conventions
-----------
GB are of a thousand million bytes. Figures are of arrays, counted; what is small beside them is not.
"""

from __future__ import annotations

TREES = 100
"""Of a forest."""


def memory_gb(clips: int, train_clips: int, dim: int, classes: int = 2) -> float:
    """Memory that a grid of probes needs.

    Parameters
    ----------
    clips, train_clips : int
        Of all splits, and of train.
    dim : int
        Length of a vector.
    classes : int
        Of train.

    Returns
    -------
    float
        GB: float32 vectors as read, their float64 copy, two copies of train in normalised form, and two forests.
    """
    return (dim * (clips * (4 + 8) + 2 * train_clips * 8) + TREES * tree_bytes(train_clips, classes)) / 1e9


def fits_in_memory(clips: int, train_clips: int, dim: int, classes: int = 2) -> bool:
    """Whether a grid's copies of the vectors fit into the memory that is free now.

    Parameters
    ----------
    clips, train_clips, dim, classes : int
        As for `memory_gb`.

    Returns
    -------
    bool
    """
    return memory_gb(clips, train_clips, dim, classes) <= free_gb()


def grid_gb(clips: int, train_clips: int, dim: int, classes: int) -> float:
    """Memory that a grid of probes will take, which is streamed if it does not fit otherwise.

    Parameters
    ----------
    clips, train_clips, dim, classes : int
        As for `memory_gb`.

    Returns
    -------
    float
        GB
    """
    held = memory_gb(clips, train_clips, dim, classes)
    return held if held <= free_gb() else streamed_gb(clips, train_clips, dim, classes)


def streamed_gb(clips: int, train_clips: int, dim: int, classes: int) -> float:
    """Memory that a grid of probes needs whose vectors go through it in blocks.

    Parameters
    ----------
    clips, train_clips, dim, classes : int
        As for `memory_gb`.

    Returns
    -------
    float
        GB: of the largest of regression (L-BFGS keeps ten steps and ten gradients), discriminant analysis (matrices
        [dim, dim], or of clips where these are fewer) and a tree; and the answers, blocks, and TensorFlow itself.
    """
    regression = 30 * 8.0 * classes * (dim + 1)
    few = train_clips < dim
    analysis = 8.0 * (train_clips * (dim + 2 * train_clips) if few else 3 * dim**2) + 4 * 8.0 * classes * dim
    answers = 3 * 8.0 * (clips - train_clips) * classes
    largest = max(regression, analysis, forest_bytes(train_clips), tree_bytes(train_clips, classes))
    return (largest + answers + 1.5e9) / 1e9


def streamed_disk_gb(clips: int, train_clips: int, dim: int, speakers: int = 0) -> float:
    """Disk that such a grid needs while it runs.

    Parameters
    ----------
    clips, train_clips, dim : int
        As for `memory_gb`.
    speakers : int
        Over whose clips a z-score is taken.

    Returns
    -------
    float
        GB: vectors, and train by columns, in float32, and the scaling of speakers in float64.
    """
    return dim * (4.0 * (clips + train_clips) + 16.0 * speakers) / 1e9


def tree_bytes(clips: int, classes: int) -> float:
    """Memory of one tree of a forest, at most.

    Parameters
    ----------
    clips, classes : int
        Of train.

    Returns
    -------
    float
        Bytes: a leaf for each clip that the tree is given, two nodes a leaf, a share of each class in each node; twice,
        as a tree that outgrows its memory doubles it.
    """
    return 2 * 2 * 0.64 * clips * (8.0 * classes + 64)


def forest_bytes(clips: int) -> float:
    """Memory that trees may take together, where vectors are streamed.

    Parameters
    ----------
    clips : int
        Of train.

    Returns
    -------
    float
        Bytes: half a gigabyte, or 4 kB a clip.
    """
    return max(5e8, 4e3 * clips)


def free_gb() -> float:
    """Memory that programs may have now.

    Returns
    -------
    float
        GB
    """
    import psutil

    return psutil.virtual_memory().available / 1e9
