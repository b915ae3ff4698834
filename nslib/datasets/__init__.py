"""Datasets: tasks, the clips that they are asked about, how these are split, and where the recordings come from.

What is measured (`tasks`), the table that every source of clips returns (`table`), how clips are split (`splits`), what
can make a score wrong (`card`); from parameters to tasks, and from a task to its clips (`loading`), prepared on disk
(`clip_cache`); and the sources: your own recordings (`folder`, in one of the `layouts`), NOSS and other data sets of
TensorFlow Datasets (`noss`, `noss_sources`), Debian packages (`debian`), computer voices (`synthetic`, whose
synthesiser runs in `synthetic_worker`).
"""

from nslib.datasets.card import audit_clips, make_data_card
from nslib.datasets.debian import manifest_path, read_manifest
from nslib.datasets.folder import read_recordings
from nslib.datasets.loading import load_clips, resolve_tasks
from nslib.datasets.noss_sources import compare_facts, get_status
from nslib.datasets.splits import split_by_group
from nslib.datasets.table import COLUMNS, Dataset, limit_clips
from nslib.datasets.tasks import REGISTRY, Task, choose_task_names, get_task

__all__ = ["COLUMNS", "REGISTRY", "Dataset", "Task", "audit_clips", "choose_task_names", "compare_facts", "get_status",
           "get_task", "limit_clips", "load_clips", "make_data_card", "manifest_path", "read_manifest",
           "read_recordings", "resolve_tasks", "split_by_group"]
