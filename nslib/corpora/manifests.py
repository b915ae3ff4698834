# shim
from nslib.datasets.debian import MANIFEST_COLUMNS as MANIFEST
from nslib.datasets.debian import ManifestRow as Row
from nslib.datasets.debian import list_rows as rows
from nslib.datasets.debian import manifest_path as manifest_path
from nslib.datasets.debian import read_manifest as read_manifest
