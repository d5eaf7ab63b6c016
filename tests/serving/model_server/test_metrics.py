"""Metrics: TensorFlow Serving's names, labels and buckets, and what was counted was sent."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.serving.model_server.lifecycle.loading import Loading
from relentless.serving.model_server.lifecycle.warmup import WARMUP_FILE
from relentless.serving.model_server.metrics import MAX_SERIES, OTHER, Metrics
from relentless.serving.model_server.rest.start import METRICS_PATH
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tf_protos import (
    classification_pb2,
    inference_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import random_weights, write_version, write_warmup
from .by_flags import answer, refusal
from .rest_server import rest_server
from .upstream_models import half_plus

SERVING = ":tensorflow:serving:"
LOADING = ":tensorflow:cc:saved_model:"
HALF = "/v1/models/half:predict"

Sample = tuple[str, frozenset[tuple[str, str]]]

_TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|histogram)")
_SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)'
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def read(text: str) -> tuple[dict[str, str], dict[Sample, float]]:
    """Read Prometheus' text format strictly: every line a type or a sample of the last type."""
    types: dict[str, str] = {}
    samples: dict[Sample, float] = {}
    name = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if match := _TYPE.fullmatch(line):
            name = match[1]
            assert name not in types
            types[name] = match[2]
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        suffixes = ("_bucket", "_sum", "_count") if types[name] == "histogram" else ("",)
        assert match[1] in [name + suffix for suffix in suffixes]
        labels = {
            key: re.sub(r"\\.", lambda found: _ESCAPES[found[0]], value)
            for key, value in _LABEL.findall(match[2])
        }
        key = (match[1], frozenset(labels.items()))
        assert key not in samples
        samples[key] = float(match[3])
    _check_histograms(types, samples)
    return types, samples


def _check_histograms(types: dict[str, str], samples: dict[Sample, float]) -> None:
    """Hold each histogram's series to rising bounds, rising counts, a sum and a count."""
    buckets: dict[Sample, list[tuple[float, float]]] = {}
    for (name, labels), count in samples.items():
        if name.endswith("_bucket") and types.get(base := name.removesuffix("_bucket")):
            (bound,) = (float(text) for key, text in labels if key == "le")
            others = frozenset(pair for pair in labels if pair[0] != "le")
            buckets.setdefault((base, others), []).append((bound, count))
    for (base, labels), cumulated in buckets.items():
        assert cumulated == sorted(cumulated)
        assert cumulated[-1] == (float("inf"), samples[f"{base}_count", labels])
        assert [count for _, count in cumulated] == sorted(count for _, count in cumulated)
        assert (f"{base}_sum", labels) in samples


RUNS = f"{SERVING}runtime_latency_count"


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Any]:
    """A server of its own, a client, and what reads its metrics."""
    with (
        rest_server(tmp_path / "models") as running,
        httpx.Client(base_url=f"http://{running.rest}", timeout=20) as client,
    ):

        def scrape() -> dict[Sample, float]:
            page = client.get(METRICS_PATH)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/plain")
            return read(page.text)[1]

        yield running, client, scrape


def test_what_was_sent_is_what_was_counted(scraped: Any, tmp_path: Path) -> None:
    server, client, scrape = scraped
    for _ in range(3):
        assert answer(server.address, "half") == (3.0, 123)
    assert refusal(server.address, "half", signature="x")[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(server.address, "no")[0] is grpc.StatusCode.NOT_FOUND
    for _ in range(4):
        assert client.post(HALF, content='{"instances": [2.0]}').status_code == 200
    assert client.post(HALF, content="no json").status_code == 400
    examples = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}] * 5}
    assert client.post("/v1/models/half:regress", content=json.dumps(examples)).status_code == 200

    samples = scrape()
    counts = {
        ("half", "OK"): 8,
        ("half", "FAILED_PRECONDITION"): 1,
        ("half", "INVALID_ARGUMENT"): 1,
        ("no", "NOT_FOUND"): 1,
    }
    for (model, status), count in counts.items():
        name = f"{SERVING}request_count"
        assert value(samples, name, model_name=model, status=status) == count
    latencies = {("Predict", "GRPC"): 3, ("predict", "REST"): 4, ("regress", "REST"): 1}
    for (api, entrypoint), count in latencies.items():
        labels = {"model_name": "half", "API": api, "entrypoint": entrypoint}
        assert value(samples, f"{SERVING}request_latency_count", **labels) == count
        assert value(samples, f"{SERVING}request_latency_sum", **labels) > 0
    for api, count in {"Predict": 7, "Regress": 1}.items():
        labels = {"model_name": "half", "API": api, "runtime": "TF1"}
        assert value(samples, RUNS, **labels) == count
    for folder in ("half/1", "half/123", "echo/7"):
        path = str(tmp_path / "models" / folder)
        loads = f"{LOADING}load_attempt_count"
        assert value(samples, loads, model_path=path, status="success") == 1
        assert value(samples, f"{LOADING}load_latency", model_path=path) > 0


def test_multi_inference_counts_its_records_and_nothing_else(scraped: Any) -> None:
    server, _, scrape = scraped
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        one = classification_pb2.ClassificationRequest()
        one.model_spec.name, one.model_spec.signature_name = "half", "classify_x_to_y"
        one.input.example_list.examples.add().features.feature["x"].float_list.value.append(2.0)
        stub.Classify(one, timeout=20)
        many = inference_pb2.MultiInferenceRequest()
        task = many.tasks.add(method_name="tensorflow/serving/classify")
        task.model_spec.CopyFrom(one.model_spec)
        context = many.input.example_list_with_context
        context.context.features.feature["x"].float_list.value.append(2.0)
        context.examples.add()
        context.examples.add()
        stub.MultiInference(many, timeout=20)
    samples = scrape()
    for api, count in {"Classify": 1, "MultiInference": 0}.items():
        labels = {"model_name": "half", "API": api}
        requests = f"{SERVING}request_latency_count"
        assert value(samples, requests, **labels, entrypoint="GRPC") == count
        assert value(samples, RUNS, **labels, runtime="TF1") == count
    assert value(samples, f"{SERVING}request_count", model_name="half", status="OK") == 1
    assert value(samples, f"{SERVING}request_example_count_total", model="half") == 2
    buckets = f"{SERVING}request_example_counts_bucket"
    assert [value(samples, buckets, model="half", le=le) for le in ("1", "2", "4")] == [0, 0, 1]


def test_batches_of_both_entrypoints_are_counted(tmp_path: Path) -> None:
    parameters = tmp_path / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8 "
        "batch_timeout_micros { value: 0 } num_batch_threads { value: 2 }"
    )
    batched = {"enable_batching": True, "batching_parameters_file": str(parameters)}
    with rest_server(tmp_path / "models", **batched) as running:
        answer(running.address, "half")
        sent = httpx.post(f"http://{running.rest}{HALF}", content='{"instances": [1.0, 2.0, 3.0]}')
        assert sent.json() == {"predictions": [2.5, 3.0, 3.5]}
        samples = read(httpx.get(f"http://{running.rest}{METRICS_PATH}").text)[1]
    batching = f"{SERVING}batching_session:"
    assert value(samples, f"{batching}wrapped_run_count") == 2
    assert value(samples, f"{batching}input_batch_size_sum") == 1 + 3
    assert value(samples, f"{batching}processed_batch_size_sum") == 4 + 4
    assert value(samples, f"{batching}padding_size_sum", execution_batch_size="4") == 3 + 1
    assert value(samples, f"{batching}queuing_latency_count", thread_pool_name="") == 2


def test_the_page_is_at_its_path_only(scraped: Any) -> None:
    _, client, _ = scraped
    asked = client.get(f"{METRICS_PATH}?a=1")
    assert asked.status_code == 400
    assert asked.text == f"Unexpected path: {METRICS_PATH}?a=1. Should be {METRICS_PATH}"


def test_without_a_monitoring_file_there_is_no_page(tmp_path: Path) -> None:
    with rest_server(tmp_path / "models", monitoring_config_file="") as running:
        assert httpx.get(f"http://{running.rest}{METRICS_PATH}").status_code == 404


def test_names_types_and_buckets_are_those_of_tensorflow_serving() -> None:
    metrics = Metrics()
    metrics.request("m", "Predict", "GRPC", 0, 1.0)
    metrics.queued("", 1.0)
    metrics.batch_input(3)
    metrics.batch(3, 4)
    types, samples = read(metrics.text())
    assert types == {
        f"{LOADING}load_attempt_count": "counter",
        f"{LOADING}load_latency": "counter",
        f"{SERVING}batching_session:input_batch_size": "histogram",
        f"{SERVING}batching_session:padding_size": "histogram",
        f"{SERVING}batching_session:processed_batch_size": "histogram",
        f"{SERVING}batching_session:queuing_latency": "histogram",
        f"{SERVING}batching_session:wrapped_run_count": "counter",
        f"{SERVING}model_warmup_latency": "histogram",
        f"{SERVING}request_count": "counter",
        f"{SERVING}request_example_count_total": "counter",
        f"{SERVING}request_example_counts": "histogram",
        f"{SERVING}request_latency": "histogram",
        f"{SERVING}runtime_latency": "histogram",
    }

    def bounds(name: str) -> list[str]:
        return [dict(labels)["le"] for bucket, labels in samples if bucket == f"{name}_bucket"]

    latency = bounds(f"{SERVING}request_latency")
    assert (len(latency), latency[:4], latency[-1]) == (34, ["10", "18", "32.4", "58.32"], "+Inf")
    queuing = bounds(f"{SERVING}batching_session:queuing_latency")
    assert (len(queuing), queuing[:3]) == (53, ["100", "120", "144"])
    for sizes in ("padding_size", "input_batch_size", "processed_batch_size"):
        found = bounds(f"{SERVING}batching_session:{sizes}")
        assert (len(found), found[0], found[-2]) == (15, "1", "8192")
    assert value(samples, f"{SERVING}batching_session:wrapped_run_count") == 1
    assert (
        value(samples, f"{SERVING}batching_session:padding_size_sum", execution_batch_size="4") == 1
    )


def test_a_load_that_fails_and_a_warm_up_that_ran_are_recorded(tmp_path: Path) -> None:
    metrics = Metrics()
    good = write_version(tmp_path, 1, random_weights(1))
    Loading(metrics=metrics).load("m", 1, good).close()
    (tmp_path / "2").mkdir()
    with pytest.raises(TFError):
        Loading(metrics=metrics).load("m", 2, tmp_path / "2")
    samples = read(metrics.text())[1]
    loads = f"{LOADING}load_attempt_count"
    assert value(samples, loads, model_path=str(tmp_path / "2"), status="fail") == 1
    assert value(samples, loads, model_path=str(good), status="success") == 1
    warmed = f"{SERVING}model_warmup_latency_count"
    assert value(samples, warmed, model_path=str(good), status="OK") == 1
    runs = {dict(labels)["API"]: n for (name, labels), n in samples.items() if name == RUNS}
    assert runs["Predict"] > 0


def test_only_a_warm_up_whose_file_was_read_is_recorded(tmp_path: Path) -> None:
    metrics = Metrics()
    Loading(metrics=metrics).load("m", 1, half_plus(tmp_path / "1", 2.0)).close()
    failing, spoiled = half_plus(tmp_path / "2", 2.0), half_plus(tmp_path / "3", 2.0)
    write_warmup(failing)
    write_warmup(spoiled)
    (spoiled / WARMUP_FILE).write_bytes(bytes(12))
    for folder in (failing, spoiled):
        with pytest.raises(TFError):
            Loading(metrics=metrics).load("m", 2, folder)
    warmed = f"{SERVING}model_warmup_latency_count"
    counted = [dict(labels) for name, labels in read(metrics.text())[1] if name == warmed]
    assert [labels["model_path"] for labels in counted] == [str(spoiled)]
    words = "DATA_LOSS: corrupted record at 0 (Is this even a TFRecord file?)"
    assert counted[0]["status"] == words


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_model_name_can_be_written(names: list[str]) -> None:
    metrics = Metrics()
    for name in names:
        metrics.request(name, "Predict", "GRPC", 5, 1.0)
    samples = read(metrics.text())[1]
    assert sum(samples.values()) == len(names)


def test_the_number_of_series_is_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_SERIES + 50):
        metrics.request(f"m{number}", "Predict", "GRPC", 0, 1.0)
    samples = read(metrics.text())[1]
    counted = {key: n for key, n in samples.items() if key[0] == f"{SERVING}request_count"}
    assert len(counted) == MAX_SERIES + 1
    assert value(samples, f"{SERVING}request_count", model_name=OTHER, status="OK") == 50


def test_threads_that_record_at_once_lose_nothing() -> None:
    metrics = Metrics()

    def record() -> None:
        for _ in range(500):
            metrics.request("m", "Predict", "GRPC", 0, 1.0)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    samples = read(metrics.text())[1]
    assert value(samples, f"{SERVING}request_count", model_name="m", status="OK") == 4000


def test_prometheus_own_parser_reads_the_page() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="no prometheus-client here")
    metrics = Metrics()
    metrics.request('a"\\\nb', "Predict", "GRPC", 0, 25.0)
    families = {f.name: f for f in parser.text_string_to_metric_families(metrics.text())}
    [counted] = families[f"{SERVING}request_count"].samples
    assert (counted.labels, counted.value) == ({"model_name": 'a"\\\nb', "status": "OK"}, 1.0)
    buckets = families[f"{SERVING}request_latency"].samples
    assert [s.value for s in buckets if s.labels.get("le") in ("18", "32.4")] == [0.0, 1.0]
