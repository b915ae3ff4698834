"""Training: the paper's triplet objective, distillation and fine-tuning, from raw audio to files that need no kit.

settings    every choice of the three ways to train, and what the paper says about it
data        audio to learn from, and the windows that are drawn from it
triplets    the triplet loss; trainer: the loop, with checkpoints from which it goes on exactly
distill     teachers, their students, and what a student costs
finetune    a whole network learns a task
export      networks as SavedModel and LiteRT files; classifier: an embedding and a linear probe as one SavedModel
"""

from nslib import config

__all__: list[str] = []

config.quieten_tensorflow()  # before a module of this room imports it
