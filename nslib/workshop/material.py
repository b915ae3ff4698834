# shim
from nslib.teaching.workshop import choose_settings as settings
from nslib.teaching.workshop import notebook_environment as environment
