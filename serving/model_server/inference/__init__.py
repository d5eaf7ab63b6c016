"""The kinds of inference on one loaded version: messages in, messages out. Pure; no transport."""
