"""A SavedModel in a session of TensorFlow's C++ loader, the one that TensorFlow Serving uses.

Above ``capi.py`` and ``tensors.py``; below ``lifecycle/servable.py``, which gives it users.
"""

import ctypes
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relentless.serving.model_server.codes import (
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
)
from relentless.serving.model_server.runtime.capi import (
    Buffer,
    Output,
    TFError,
    checked,
    library,
    session_config,
)
from relentless.serving.model_server.runtime.recording import Recorder, Run
from relentless.serving.model_server.runtime.tensors import free_input, from_tf, to_tf
from relentless.serving.tensor_proto import RawTensor
from relentless.serving.tf_protos import config_pb2, meta_graph_pb2

SERVE_TAGS = ("serve",)

MAX_TIMEOUT_MS = 24 * 3600 * 1000


class SavedModelSession:
    """One loaded SavedModel. ``run`` may be called from many threads; ``close`` after the last."""

    def __init__(
        self,
        folder: Path,
        config: bytes | None = None,
        tags: Sequence[str] = SERVE_TAGS,
        *,
        recorder: Recorder | None = None,
        label: str = "",
    ) -> None:
        """Load the folder's graph and restore its variables.

        Args:
            folder: the SavedModel.
            config: a serialized ``ConfigProto``; that of a small model where absent.
            tags: which of the SavedModel's graphs.
            recorder: where runs are kept while somebody profiles, under the ``label``.
            label: "name/version".

        Raises:
            TFError: what the loader says, with its code.
        """
        tf = library()
        self._graph: int | None = tf.TF_NewGraph()
        self._session: int | None = None
        meta = tf.TF_NewBuffer()
        options = tf.TF_NewSessionOptions()
        try:
            small = session_config()
            config = small if config is None else config
            # A run in the caller's thread is not interrupted, and asking for it would cost a tenth.
            self._interruptible = config != small
            with checked() as status:
                tf.TF_SetConfig(options, config, len(config), status)
            names = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
            with checked() as status:
                self._session = tf.TF_LoadSessionFromSavedModel(
                    options,
                    None,
                    str(folder).encode(),
                    names,
                    len(tags),
                    self._graph,
                    meta,
                    status,
                )
            self.signatures = _signatures(meta.contents)
        except BaseException:
            self.close()
            raise
        finally:
            tf.TF_DeleteSessionOptions(options)
            tf.TF_DeleteBuffer(meta)
        self._endpoints: dict[str, Output] = {}
        self._recorder, self._label = recorder, label

    def endpoint(self, tensor_name: str) -> Output:
        """Find "operation:index" in the graph.

        Raises:
            TFError: no such operation or output.
        """
        if found := self._endpoints.get(tensor_name):
            return found
        tf = library()
        name, _, index = tensor_name.partition(":")
        operation = tf.TF_GraphOperationByName(self._graph, name.encode())
        if not operation or int(index or 0) >= tf.TF_OperationNumOutputs(operation):
            raise TFError(INVALID_ARGUMENT, f"Tensor {tensor_name} is not found in the graph")
        return self._endpoints.setdefault(tensor_name, Output(operation, int(index or 0)))

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        """Feed tensors by graph name and fetch others.

        A session with threads of its own gives up after ``timeout_s``; one that runs in the
        caller's thread is too short for that to matter.

        Raises:
            TFError: what the session says, with its code.
        """
        if self._session is None:
            raise TFError(FAILED_PRECONDITION, "the session is closed")
        if timeout_s is not None and timeout_s <= 0:
            raise TFError(DEADLINE_EXCEEDED, "Deadline exceeded before the model ran")
        tf = library()
        n, m = len(feeds), len(fetches)
        inputs = (Output * n)(*map(self.endpoint, feeds))
        outputs = (Output * m)(*map(self.endpoint, fetches))
        recording = self._recorder.now if self._recorder else None
        options = _run_options(timeout_s if self._interruptible else None, recording is not None)
        noted = tf.TF_NewBuffer() if recording else None
        values, results = (ctypes.c_void_p * n)(), (ctypes.c_void_p * m)()
        try:
            for index, tensor in enumerate(feeds.values()):
                values[index] = to_tf(tensor)
            begun_ns = time.time_ns() if recording else 0
            with checked() as status:
                tf.TF_SessionRun(
                    self._session, options, inputs, values, n, outputs, results, m, None, 0, noted,
                    status,
                )  # fmt: skip
            if recording and noted:
                recording.add(self._noted(begun_ns, fetches, noted.contents))
            return [from_tf(handle) for handle in results if handle]
        finally:
            if noted:
                tf.TF_DeleteBuffer(noted)
            for handle, tensor in zip(values, feeds.values(), strict=True):
                if handle:
                    free_input(handle, tensor)
            for handle in results:
                if handle:
                    tf.TF_DeleteTensor(handle)

    def _noted(self, begun_ns: int, fetches: Sequence[str], noted: Buffer) -> Run:
        return Run(
            self._label,
            threading.current_thread().name,
            begun_ns,
            time.time_ns(),
            tuple(fetches),
            ctypes.string_at(noted.data, noted.length) if noted.length else b"",
        )

    def close(self) -> None:
        """Close the session and let go of its memory; a second call does nothing."""
        tf = library()
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session is not None:
            with checked() as status:
                tf.TF_CloseSession(session, status)
            with checked() as status:
                tf.TF_DeleteSession(session, status)
        if graph is not None:
            tf.TF_DeleteGraph(graph)


def _run_options(timeout_s: float | None, noted: bool) -> Any:
    """Give the ``TF_Buffer`` with the ``RunOptions`` of one run, or None."""
    if timeout_s is None and not noted:
        return None
    options = config_pb2.RunOptions()
    if timeout_s is not None:
        options.timeout_in_ms = min(max(1, int(timeout_s * 1000)), MAX_TIMEOUT_MS)
    if noted:
        options.trace_level = config_pb2.RunOptions.SOFTWARE_TRACE
    body = options.SerializeToString()
    held = ctypes.create_string_buffer(body, len(body))
    buffer = Buffer(ctypes.addressof(held), len(body), None)
    buffer.held = held
    return ctypes.byref(buffer)


def _signatures(meta: Buffer) -> dict[str, Any]:
    graph = meta_graph_pb2.MetaGraphDef.FromString(ctypes.string_at(meta.data, meta.length))
    return {name: graph.signature_def[name] for name in sorted(graph.signature_def)}
