"""Measurements against references in the same run. Nothing here is imported by the package."""
