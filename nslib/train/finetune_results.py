# shim
from nslib.training.finetune import benchmark_finetuned as benchmark
from nslib.training.finetune import compare_with_others as gaps
from nslib.training.finetune import cut_clips as material
from nslib.training.finetune import name_finetuned as name
from nslib.training.finetune import score_finetuned as scored
