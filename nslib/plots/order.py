# shim
from nslib.figures.scores import SYNTHETIC as SYNTHETIC
from nslib.figures.scores import correct_for_chance as above_chance
from nslib.figures.scores import label_tasks as labels
from nslib.figures.scores import mark_best as standing
from nslib.figures.scores import order_embeddings as embeddings
from nslib.figures.scores import select_scores as chosen
