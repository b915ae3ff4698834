# shim
from nslib.embeddings.networks import TRILL_MINI as MINI
from nslib.embeddings.networks import RESNET_SHAPES as SHAPES
from nslib.embeddings.networks import LAYER19_TAP as TAP_NAME
from nslib.embeddings.networks import EMBEDDING_TAP as TOP_NAME
from nslib.embeddings.networks import ResNetShape as Shape
from nslib.embeddings.networks import build_resnet as build
from nslib.embeddings.networks import build_network as named
from nslib.embeddings.networks import resnet50_trill as resnet50_trill
from nslib.embeddings.networks import trill_mini as trill_mini
