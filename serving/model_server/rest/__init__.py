"""REST as TensorFlow Serving has it: HTTP, paths, its JSON to and from messages."""
