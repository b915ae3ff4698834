# shim
from nslib import embeddings as embeddings
from nslib.extraction.cluster import BuiltInModel as BuiltIn
from nslib.extraction.cluster import ModelFile as File
from nslib.extraction.cluster import Recipe as Recipe
from nslib.extraction.cluster import make_recipe as of
