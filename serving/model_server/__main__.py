"""``python -m relentless.serving.model_server`` is the command ``tensorflow_model_server``."""

from relentless.serving.model_server.main import main

main()
