"""TensorFlow's C API by ctypes: the library that the wheel ships, without importing the package.

This module binds functions and owns no model; ``session.py`` above it owns sessions. The library is
opened RTLD_LOCAL, because its BoringSSL would otherwise take the place of the process's OpenSSL.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

from relentless.proto.errors import ModelUnavailable
from relentless.serving.model_server.runtime.pages import release
from relentless.serving.tf_protos import config_pb2, tensorflow_folder

LIBRARY = "libtensorflow_cc.2.dylib" if sys.platform == "darwin" else "libtensorflow_cc.so.2"

STRING_BYTES = 24
"""Size of one ``TF_TString``."""


class TFError(Exception):
    """A failed call; ``code`` is TensorFlow's, the same number as gRPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Output(ctypes.Structure):
    """``TF_Output``: one output of one operation."""

    _fields_ = [("oper", c_void_p), ("index", c_int)]


class Buffer(ctypes.Structure):
    """``TF_Buffer``: bytes that the library owns."""

    _fields_ = [
        ("data", c_void_p),
        ("length", c_size_t),
        ("data_deallocator", c_void_p),
    ]


_P, _S = c_void_p, c_char_p
_BINDINGS: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (_S, []),
    "TF_NewStatus": (_P, []),
    "TF_DeleteStatus": (None, [_P]),
    "TF_GetCode": (c_int, [_P]),
    "TF_Message": (_S, [_P]),
    "TF_NewBuffer": (POINTER(Buffer), []),
    "TF_DeleteBuffer": (None, [POINTER(Buffer)]),
    "TF_NewGraph": (_P, []),
    "TF_DeleteGraph": (None, [_P]),
    "TF_GraphOperationByName": (_P, [_P, _S]),
    "TF_OperationNumOutputs": (c_int, [_P]),
    "TF_NewSessionOptions": (_P, []),
    "TF_DeleteSessionOptions": (None, [_P]),
    "TF_SetConfig": (None, [_P, _S, c_size_t, _P]),
    "TF_LoadSessionFromSavedModel": (
        _P,
        [_P, _P, _S, POINTER(_S), c_int, _P, POINTER(Buffer), _P],
    ),
    "TF_NewSession": (_P, [_P, _P, _P]),
    "TF_CloseSession": (None, [_P, _P]),
    "TF_DeleteSession": (None, [_P, _P]),
    "TF_SessionRun": (None, [_P, _P, _P, _P, c_int, _P, _P, c_int, _P, c_int, _P, _P]),
    "TF_AllocateTensor": (_P, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [_P]),
    "TF_TensorType": (c_int, [_P]),
    "TF_NumDims": (c_int, [_P]),
    "TF_Dim": (c_int64, [_P, c_int]),
    "TF_TensorByteSize": (c_size_t, [_P]),
    "TF_TensorData": (_P, [_P]),
    "TF_TensorElementCount": (c_int64, [_P]),
    "TF_StringInit": (None, [_P]),
    "TF_StringCopy": (None, [_P, _S, c_size_t]),
    "TF_StringDealloc": (None, [_P]),
    "TF_StringGetDataPointer": (_P, [_P]),
    "TF_StringGetSize": (c_size_t, [_P]),
}


def session_config() -> bytes:
    """Give the session options of a small model: everything runs in the caller's thread.

    A pool of threads costs more than a model of a few thousand weights.
    """
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1, device_count={"GPU": 0}
    )
    config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    return bytes(config.SerializeToString())


@functools.cache
def library() -> Any:
    """Open the C API once for the process, with TensorFlow's own log lines silenced.

    Raises:
        ModelUnavailable: TensorFlow is not installed, or its library does not open.
    """
    # The library's logger reads the process environment once, while it is opened.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _without_stderr():
        try:
            tf = ctypes.CDLL(str(tensorflow_folder() / LIBRARY), mode=ctypes.RTLD_LOCAL)
        except (OSError, ModuleNotFoundError) as error:
            raise ModelUnavailable(f"TensorFlow's runtime cannot be opened: {error}") from error
        for name, (result, arguments) in _BINDINGS.items():
            function = getattr(tf, name)
            function.restype, function.argtypes = result, arguments
        _touch_devices(tf)
    release("libtensorflow")
    return tf


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Close standard error to native code: some lines there obey no log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _touch_devices(tf: Any) -> None:
    """Open and delete an empty session: the first one looks for devices, and says so."""
    config, status = session_config(), tf.TF_NewStatus()
    options, graph = tf.TF_NewSessionOptions(), tf.TF_NewGraph()
    tf.TF_SetConfig(options, config, len(config), status)
    if session := tf.TF_NewSession(graph, options, status):
        tf.TF_DeleteSession(session, status)
    tf.TF_DeleteGraph(graph)
    tf.TF_DeleteSessionOptions(options)
    tf.TF_DeleteStatus(status)


@contextmanager
def checked() -> Iterator[Any]:
    """Lend a ``TF_Status`` for one call.

    Raises:
        TFError: the call left a code other than OK in it.
    """
    tf = library()
    status = tf.TF_NewStatus()
    try:
        yield status
        if code := tf.TF_GetCode(status):
            raise TFError(code, (tf.TF_Message(status) or b"").decode("utf-8", "replace"))
    finally:
        tf.TF_DeleteStatus(status)
