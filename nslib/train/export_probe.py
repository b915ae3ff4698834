# shim
from nslib.training.classifier import Answer as Answer
from nslib.training.classifier import Classifier as Classifier
from nslib.training.classifier import export_classifier as saved_model
from nslib.training.classifier import load_classifier as load
