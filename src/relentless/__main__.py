"""``python -m relentless`` is the command ``relentless``."""

from relentless.cli import main

main()
