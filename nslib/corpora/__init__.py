# shim
from nslib.corpora import manifests as manifests
from nslib.datasets.folder import read_recordings as read
from nslib.datasets.loading import Plan as Plan
from nslib.datasets.loading import list_missing_packages as packages_needed
from nslib.datasets.loading import load_clips as load_clips
from nslib.datasets.loading import load_own_task as own_task
from nslib.datasets.loading import resolve_tasks as resolve
from nslib.datasets.table import COLUMNS as COLUMNS
from nslib.datasets.table import PROBLEM_COLUMNS as PROBLEM_COLUMNS
from nslib.datasets.table import Dataset as Corpus
from nslib.datasets.table import limit_clips as limit
