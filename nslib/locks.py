# shim
from nslib.config import installed_version as installed
from nslib.config import lock_differences as lock_differences
from nslib.config import locked_versions as pins
