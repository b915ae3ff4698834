"""Datasets: tasks, the clips that they are asked about, how these are split, and where the recordings come from.

=====================  ====================================================================
`tasks`                what is measured: one record a task
`table`                the clip table that every source returns
`splits`               splits as the authors draw them, split files, and the hashes of a split
`audit`                what in a clip table can make a score wrong
`card`                 data cards of your own recordings
`loading`              from parameters to tasks that can be run, and from a task to its clips
`clip_cache`           prepared 16 kHz clips on disk, and facts on audio files
`folder`               your own recordings: cut, decoded once, split
`layouts`              which clips your own recordings hold, one reader a layout
`noss`                 clips of the NOSS data sets, and of any other, through TensorFlow Datasets
`noss_sources`         where the NOSS data sets come from, what to do by hand, where each stands here
`debian`               recorded speech from Debian packages, checked against committed manifests
`synthetic`            the kit's own texts, spoken by eSpeak NG (`synthetic_worker`, a process of its own)
=====================  ====================================================================
"""

from nslib.datasets.audit import audit_clips
from nslib.datasets.card import make_data_card
from nslib.datasets.debian import manifest_path, read_manifest
from nslib.datasets.folder import read_recordings
from nslib.datasets.loading import load_clips, resolve_tasks
from nslib.datasets.noss_sources import get_status
from nslib.datasets.splits import split_by_group
from nslib.datasets.table import COLUMNS, Dataset, limit_clips
from nslib.datasets.tasks import REGISTRY, Task, choose_task_names, get_task

__all__ = ["COLUMNS", "REGISTRY", "Dataset", "Task", "audit_clips", "choose_task_names", "get_status", "get_task",
           "limit_clips", "load_clips", "make_data_card", "manifest_path", "read_manifest", "read_recordings",
           "resolve_tasks", "split_by_group"]
