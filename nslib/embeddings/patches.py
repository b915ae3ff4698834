# shim
from nslib.embeddings.runtime import group_by_clip as deal
from nslib.embeddings.runtime import is_ragged as is_ragged
from nslib.embeddings.runtime import make_embedder as embedder
from nslib.embeddings.runtime import mark_ragged as mark_ragged
