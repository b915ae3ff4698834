# shim
from nslib.training.data import MANIFEST as MANIFEST
from nslib.training.data import PACKAGES as PACKAGES
from nslib.training.data import load_packages as recordings
from nslib.training.data import read_manifest as manifest
