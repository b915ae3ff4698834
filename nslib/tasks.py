# shim
from nslib.datasets.tasks import REGISTRY as REGISTRY
from nslib.datasets.tasks import Task as Task
from nslib.datasets.tasks import choose_task_names as names
from nslib.datasets.tasks import get_task as get
from nslib.datasets.tasks import make_own_task as own
