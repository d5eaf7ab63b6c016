"""How a model's session runs: what the flags say, else what fits the model's size.

A small graph without control flow and references runs wholly in the thread of its caller, because a
pool of threads costs more than a model of a few thousand weights. Any other graph gets TensorFlow's
own pools, as in TensorFlow Serving: TensorFlow's single-threaded executor refuses control flow and
the reference-typed variables of TensorFlow 1, a large operation gains from many threads, and an
operation that waits for another request must end at its own request's deadline.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.runtime.capi import session_config
from relentless.serving.tf_protos import config_pb2, saved_model_pb2

SMALL_BYTES = 4 << 20
"""A SavedModel up to this size, weights included, is small."""

GRAPH = "saved_model.pb"

_NOT_STRAIGHT = frozenset(
    {
        "Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter", "Exit", "RefExit",
        "NextIteration", "RefNextIteration", "LoopCond", "While", "StatelessWhile", "If",
        "StatelessIf", "Case", "StatelessCase", "For", "MapDefun", "Batch", "BatchFunction",
    }
)  # fmt: skip

_WAITS = re.compile(
    "Queue|Barrier|Accumulator|Mutex|Collective|Recv|Send|Reader|Iterator|Dataset|PyFunc"
)
"""In the names of operations that may wait, or run for any length of time, and end when told to.

Staging areas wait too, yet never end: in a pool they would keep one of its threads."""

REFERENCES = frozenset(
    {
        "Variable", "VariableV2", "TemporaryVariable", "HashTable", "MutableHashTable",
        "MutableHashTableOfTensors", "MutableDenseHashTable", "FIFOQueue", "PaddingFIFOQueue",
        "PriorityQueue", "RandomShuffleQueue", "FakeQueue", "Barrier", "Stack", "TensorArray",
        "TensorArrayGrad", "ConditionalAccumulator", "SparseConditionalAccumulator",
        "WholeFileReader", "TextLineReader", "FixedLengthRecordReader", "TFRecordReader",
        "LMDBReader", "IdentityReader",
    }
)  # fmt: skip
"""What makes references; every other operation with one takes it from one of these."""

_REFUSED = _NOT_STRAIGHT | REFERENCES


BFLOAT16 = "bfloat16"
"""The one mixed precision that there is."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The ``ConfigProto`` that was asked for, or None for one that fits the model."""

    fixed: Any = None
    mixed_precision: str = ""

    def for_folder(self, folder: Path) -> bytes:
        """Give the serialized ``ConfigProto`` for a SavedModel."""
        config = config_pb2.ConfigProto()
        if self.fixed is not None:
            config.CopyFrom(self.fixed)
        elif is_small(folder):
            config.ParseFromString(session_config())
        else:
            config = _on_cpu()
        if self.mixed_precision == BFLOAT16:
            rewrites = config.graph_options.rewrite_options
            rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
        return bytes(config.SerializeToString())


def from_options(options: ServerOptions, given: Any) -> SessionConfig:
    """Combine the flags with the ``ConfigProto`` of ``--tensorflow_session_config_file``, or None.

    A parallelism flag above zero overrides the file's.
    """
    both = options.tensorflow_session_parallelism
    intra = options.tensorflow_intra_op_parallelism
    inter = options.tensorflow_inter_op_parallelism
    if given is None and both <= 0 and intra <= 0 and inter <= 0:
        return SessionConfig(mixed_precision=options.mixed_precision)
    config = _on_cpu()
    if given is not None:
        config.MergeFrom(given)
    if intra > 0 or inter > 0:
        config.intra_op_parallelism_threads = max(intra, 0)
        config.inter_op_parallelism_threads = max(inter, 0)
    elif both > 0:
        config.intra_op_parallelism_threads = both
        config.inter_op_parallelism_threads = both
    return SessionConfig(config, options.mixed_precision)


def is_small(folder: Path) -> bool:
    """Tell whether a SavedModel is small and fit for one thread. A damaged one is neither."""
    try:
        files = (folder / GRAPH, *(folder / "variables").glob("*"))
        if sum(file.stat().st_size for file in files) > SMALL_BYTES:
            return False
        saved = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
    except (OSError, DecodeError):
        return False
    operations = {op for meta in saved.meta_graphs for op in _operations(meta.graph_def)}
    return _REFUSED.isdisjoint(operations) and not any(map(_WAITS.search, operations))


def _operations(graph: Any) -> Iterable[str]:
    for node in graph.node:
        yield node.op
    for function in graph.library.function:
        for node in function.node_def:
            yield node.op


def _on_cpu() -> Any:
    return config_pb2.ConfigProto(device_count={"GPU": 0})
