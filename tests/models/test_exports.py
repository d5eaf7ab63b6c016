"""Every SavedModel of the repository, behind the server and the batching that production uses."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relentless.configs.settings import REPOSITORY
from relentless.models.manifest import MANIFEST, load_manifest, verify
from relentless.serving.model_server.lifecycle.loading import Loading
from relentless.serving.model_server.lifecycle.warmup import WARMUP_FILE, records
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.server import ModelServer
from relentless.serving.tf_protos import prediction_log_pb2, saved_model_pb2

from .exported import by_grpc, by_rest, check_every_signature, served

FOLDERS = sorted((REPOSITORY / "models" / "repository").glob("*/[0-9]*"))
WARMED_UP = {"encode_context", "fold_context", "predict_folded", "serving_default"}
every_version = pytest.mark.parametrize(
    "folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Path, ModelServer]]:
    """One server for each model, by the model's folder."""
    (base,) = {folder.parent for folder in FOLDERS}
    with served(base) as server:
        yield {base: server}


def test_the_repository_holds_versions() -> None:
    assert {folder.name for folder in FOLDERS} >= {"1", "2"}


@every_version
def test_every_signature_answers_over_grpc(folder: Path, servers: dict[Path, ModelServer]) -> None:
    server = servers[folder.parent]
    check_every_signature(folder, by_grpc(server.address, folder.parent.name, int(folder.name)))


@every_version
def test_every_signature_answers_over_rest(folder: Path, servers: dict[Path, ModelServer]) -> None:
    server = servers[folder.parent]
    check_every_signature(folder, by_rest(server.rest, folder.parent.name, int(folder.name)))


@every_version
def test_the_warm_up_was_replayed_before_the_version_served(
    folder: Path, servers: dict[Path, ModelServer]
) -> None:
    text = servers[folder.parent].metrics.text()
    replayed = (
        rf':tensorflow:serving:model_warmup_latency_count\{{.*{folder}.*status="OK".*\}} [1-9]'
    )
    assert re.search(replayed, text)


@every_version
def test_warm_up_requests_cover_the_numeric_signatures_and_can_be_batched(folder: Path) -> None:
    seen = set()
    for record in records(folder / WARMUP_FILE):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == folder.parent.name
        seen.add(request.model_spec.signature_name)
        assert len({proto.tensor_shape.dim[0].size for proto in request.inputs.values()}) == 1
    assert seen == WARMED_UP


@every_version
def test_the_graph_asks_for_no_device_but_a_processor_and_for_no_new_consumer(
    folder: Path,
) -> None:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (meta,) = saved.meta_graphs
    graph = meta.graph_def
    nodes = [*graph.node, *(node for made in graph.library.function for node in made.node_def)]
    assert {node.device for node in nodes} <= {"", "/device:CPU:0", "/device:CPU:*"}
    assert graph.versions.min_consumer <= 12
    assert meta.meta_info_def.stripped_default_attrs


@pytest.mark.promise("P7")
@every_version
def test_one_wrong_bit_in_any_file_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    assert set(load_manifest(copy).files) == {
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*")
        if path.is_file() and path != copy / MANIFEST
    }
    for name in verify(copy).files:
        path = copy / name
        kept = path.read_bytes()
        middle = len(kept) // 2
        path.write_bytes(kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :])
        with pytest.raises(TFError, match=f"{name} is not the file that the manifest names"):
            Loading().load(folder.parent.name, int(folder.name), copy)
        path.write_bytes(kept)
    assert verify(copy)
