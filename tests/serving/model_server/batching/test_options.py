"""The batching file: what it may say, what it leaves out, and what is refused in which words."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from relentless.proto.errors import InvalidSettings
from relentless.proto.gen.model_server_pb2 import BatchingParameters
from relentless.serving.model_server.batching.options import (
    BatchingOptions,
    from_flags,
    from_proto,
    read_batching,
)
from relentless.serving.model_server.options import schedulable_cpus
from relentless.serving.model_server.runtime.capi import TFError


def parsed(text: str) -> BatchingOptions:
    return from_proto(text_format.Parse(text, BatchingParameters()))


def test_what_is_left_out_has_tensorflows_defaults() -> None:
    assert parsed("") == BatchingOptions(1000, 0.0, 10, schedulable_cpus(), "batch_threads")


def test_every_parameter_is_read() -> None:
    assert parsed(
        """
        max_batch_size { value: 1024 } batch_timeout_micros { value: 1500 }
        max_enqueued_batches { value: 7 } num_batch_threads { value: 3 }
        thread_pool_name { value: "pool" } pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true } max_execution_batch_size { value: 64 }
        allowed_batch_sizes: 8 allowed_batch_sizes: 64
        """
    ) == BatchingOptions(1024, 0.0015, 7, 3, "pool", (8, 64), True, True, 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
        (
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros must be non-negative; was -1",
        ),
        ("max_enqueued_batches { value: -2 }", "max_enqueued_batches must be positive; was -2"),
        (
            "max_enqueued_batches { value: 0 } enable_large_batch_splitting { value: true }",
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            "max_batch_size { value: 16 } allowed_batch_sizes: 8 allowed_batch_sizes: 12",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 12; "
            "expected 16",
        ),
        (
            "allowed_batch_sizes: 1",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 1; "
            "expected 1000",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 8 allowed_batch_sizes: 8",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 0 allowed_batch_sizes: 8",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            "max_batch_size { value: 16 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 8 } allowed_batch_sizes: 12",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 12; "
            "expected 16",
        ),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 16 }",
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
            "than or equal to max_execution_batch_size.",
        ),
    ],
)
def test_contradictions_are_refused_in_tensorflows_words(text: str, words: str) -> None:
    with pytest.raises(TFError) as refused:
        parsed(text)
    assert (refused.value.code, str(refused.value)) == (3, words)


@pytest.mark.parametrize("last", [8, 16])
def test_the_sizes_of_split_batches_end_with_either_limit(last: int) -> None:
    options = BatchingOptions(
        16,
        allowed_batch_sizes=(4, last),
        enable_large_batch_splitting=True,
        max_execution_batch_size=8,
    )
    assert [options.padded(rows) for rows in (3, 8)] == [4, last]


def test_no_queue_at_all_means_a_queue_of_one_batch() -> None:
    assert parsed("max_enqueued_batches { value: 0 }").max_enqueued_batches == 1


def test_a_batch_is_padded_to_the_next_allowed_size() -> None:
    options = BatchingOptions(8, allowed_batch_sizes=(2, 4, 8))
    assert [options.padded(rows) for rows in (1, 2, 3, 5, 8)] == [2, 2, 4, 8, 8]
    assert BatchingOptions(8).padded(5) == 5


def test_the_flags_need_no_file(tmp_path: Path) -> None:
    assert from_flags("") == BatchingOptions(thread_pool_name="model_server_batch_threads")
    path = tmp_path / "batching.config"
    path.write_text("max_batch_size { value: 8 }")
    assert from_flags(str(path)) == BatchingOptions(8)


def test_a_file_that_does_not_read_says_where_and_why(tmp_path: Path) -> None:
    path = tmp_path / "batching.config"
    with pytest.raises(InvalidSettings, match=r"batching\.config"):
        read_batching(path)
    path.write_text("max_batch_size: 128")
    with pytest.raises(InvalidSettings, match=r'Expected "\{"'):
        read_batching(path)
    path.write_text("max_batch_size { value: 0 }")
    with pytest.raises(InvalidSettings, match="must be positive"):
        read_batching(path)
    path.write_text("max_batch_size { value: 128 }")
    assert read_batching(path).max_batch_size == 128
