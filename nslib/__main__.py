"""``python -m nslib``."""

from nslib.cli import main

main()
