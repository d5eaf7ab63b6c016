"""Requests that wait for the same signature of the same version share one run. Wraps a session."""
