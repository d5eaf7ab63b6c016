"""The data agents, one module or sub-package each, and what they share."""
