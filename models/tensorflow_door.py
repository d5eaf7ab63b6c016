"""The one place that imports TensorFlow: for training and export, silently and reproducibly."""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple


class TensorFlow(NamedTuple):
    """The two packages; both are untyped."""

    tf: Any
    keras: Any


@cache
def tensorflow() -> TensorFlow:
    """Import TensorFlow on one thread with deterministic kernels and without its log lines.

    One thread, because sums taken in another order end in other bits. The variables must be set
    before the import: TensorFlow reads them while it loads.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _without_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf = importlib.import_module("tensorflow")
        keras = importlib.import_module("keras")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
        tf.zeros(())  # the runtime starts, and looks for devices, with the first tensor
    tf.get_logger().setLevel("ERROR")
    importlib.import_module("absl.logging").set_verbosity("error")
    return TensorFlow(tf, keras)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what C++ writes to the standard error before its log level holds."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
