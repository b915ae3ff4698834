# shim
from nslib.datasets.clip_cache import LIMITED as LIMITED
from nslib.datasets.clip_cache import CachedClip as Entry
from nslib.datasets.clip_cache import ClipCache as Shelf
from nslib.datasets.clip_cache import write_clip as serve
