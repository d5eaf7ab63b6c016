"""The files of configs/tfserving: they parse, agree with each other, and name what exists."""

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml
from google.protobuf import text_format

from relentless.configs.settings import REPOSITORY, Settings
from relentless.proto.gen.model_server_pb2 import BatchingParameters, MonitoringConfig
from relentless.serving.model_server.batching.options import read_batching
from relentless.serving.model_server.flags import parse
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.tf_protos import config_pb2, model_server_config_pb2

FOLDER = REPOSITORY / "configs" / "tfserving"
MODEL = Settings().model_server.name
READY = f"/v1/models/{MODEL}/labels/stable/metadata"
ALIVE = f"/v1/models/{MODEL}"


def text(name: str, message: Any) -> Any:
    return text_format.Parse((FOLDER / name).read_text(), message)


def instruction(word: str) -> list[str]:
    """Give an instruction's values in the Dockerfile, one a line."""
    joined = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ")
    return [
        line.removeprefix(word).strip() for line in joined.splitlines() if line.startswith(word)
    ]


def flags() -> ServerOptions:
    (command,) = instruction("CMD ")
    made = parse(yaml.safe_load(command))
    assert isinstance(made, ServerOptions)
    return made


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """NVIDIA's service with what it extends."""
    return service("compose.yaml")


def service(name: str) -> dict[str, Any]:
    own = yaml.safe_load((FOLDER / name).read_text())["services"]["tf-serving"]
    base = own.pop("extends")
    shared = yaml.safe_load((FOLDER / base["file"]).read_text())["services"][base["service"]]
    return merged(shared, own)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = one | other
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict):
            both[key] = merged(one[key], other[key])
    return both


@pytest.fixture(scope="module")
def cluster() -> dict[str, dict[str, Any]]:
    """What is applied, by its kind."""
    return {
        made["kind"]: made for made in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    }


@pytest.fixture(scope="module")
def pod(cluster: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = cluster["Deployment"]["spec"]["template"]["spec"]
    return found


def test_models_are_named_by_version_and_labelled() -> None:
    config = text("models.config", model_server_config_pb2.ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == (MODEL, f"/models/{MODEL}")
    assert list(entry.model_version_policy.specific.versions) == [1, 2, 3]
    assert dict(entry.version_labels) == {"stable": 1, "canary": 2}


def test_the_numbers_of_batching_are_the_ones_that_are_reasoned_about() -> None:
    message = text("batching.config", BatchingParameters())
    assert message.batch_timeout_micros.value == 1000
    options = read_batching(FOLDER / "batching.config")
    assert (options.max_batch_size, options.max_enqueued_batches) == (128, 1000)
    assert (options.num_batch_threads, options.allowed_batch_sizes) == (8, ())


def test_metrics_are_on_under_their_own_path() -> None:
    made = text("monitoring.config", MonitoringConfig()).prometheus_config
    assert (made.enable, made.path) == (True, "/monitoring/prometheus/metrics")


def test_the_gpus_memory_grows_up_to_a_limit() -> None:
    options = text("session.config", config_pb2.ConfigProto()).gpu_options
    assert options.allow_growth
    assert options.per_process_gpu_memory_fraction == pytest.approx(0.8)
    assert flags().per_process_gpu_memory_fraction == options.per_process_gpu_memory_fraction


@pytest.mark.parametrize("name", ["models", "batching", "monitoring", "session"])
def test_a_comment_stands_above_every_block(name: str) -> None:
    for block in (FOLDER / f"{name}.config").read_text().split("\n\n"):
        assert block.startswith("#")


def test_the_container_is_pinned_and_starts_with_files_that_it_has() -> None:
    (image,) = instruction("FROM ")
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+-gpu", image)
    assert instruction("USER ") == ["10001:10001"]
    assert instruction("ENTRYPOINT ") == ['["tensorflow_model_server"]']
    (copied,) = instruction("COPY ")
    *names, target = copied.split()
    made = flags()
    named = {
        made.model_config_file,
        made.batching_parameters_file,
        made.monitoring_config_file,
        made.tensorflow_session_config_file,
    }
    assert named == {f"{target}{name}" for name in names}
    assert all((FOLDER / name).is_file() for name in names)
    assert made.enable_batching
    assert made.allow_version_labels_for_unavailable_models


def test_every_file_speaks_of_the_same_ports(
    compose: dict[str, Any], cluster: dict[str, dict[str, Any]], pod: dict[str, Any]
) -> None:
    ports = {flags().port, flags().rest_api_port}
    assert ports == {8500, 8501}
    assert {int(port) for port in instruction("EXPOSE ")[0].split()} == ports
    assert sorted(compose["ports"]) == [f"127.0.0.1:{port}:{port}" for port in sorted(ports)]
    (container,) = pod["containers"]
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert set(names.values()) == ports
    offered = {port["targetPort"]: port["port"] for port in cluster["Service"]["spec"]["ports"]}
    assert offered == names
    allowed = cluster["NetworkPolicy"]["spec"]["ingress"]
    assert {port["port"] for port in allowed[0]["ports"]} == ports
    assert [port["port"] for port in allowed[1]["ports"]] == [names["rest"]]


def test_every_file_names_the_same_image(compose: dict[str, Any], pod: dict[str, Any]) -> None:
    tag = instruction("FROM ")[0].rpartition(":")[2]
    assert compose["image"] == pod["containers"][0]["image"] == f"relentless/tf-serving:{tag}"
    assert (FOLDER / compose["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", ["compose.yaml", "compose.amd.yaml"])
def test_compose_gives_the_server_models_to_read_and_nothing_to_write(name: str) -> None:
    made = service(name)
    (mount,) = made["volumes"]
    assert (FOLDER / mount["source"] / MODEL / "1" / "saved_model.pb").is_file()
    assert (mount["target"], mount["read_only"], made["read_only"]) == ("/models", True, True)
    assert made["user"] == instruction("USER ")[0]
    assert (made["cap_drop"], made["networks"]) == (["ALL"], ["models"])
    declared = yaml.safe_load((FOLDER / name).read_text())["networks"]
    assert set(declared) == set(made["networks"])


def test_compose_reserves_one_card(compose: dict[str, Any]) -> None:
    resources = compose["deploy"]["resources"]
    assert resources["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    ]
    assert resources["limits"]["memory"] == "8g"


def test_amds_compose_needs_an_image_of_ones_own_and_the_device_files() -> None:
    made = service("compose.amd.yaml")
    assert made["image"].startswith("${TF_SERVING_IMAGE:?")
    assert [device.split(":")[0] for device in made["devices"]] == ["/dev/kfd", "/dev/dri"]
    assert "reservations" not in made["deploy"]["resources"]


def test_the_cluster_probes_by_rest_and_runs_unprivileged(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
    }
    assert paths["readiness"] == {"path": READY, "port": "rest"}
    assert paths["startup"] == paths["liveness"] == {"path": ALIVE, "port": "rest"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user == instruction("USER ")[0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_cluster_mounts_models_to_read(pod: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert volumes["models"]["persistentVolumeClaim"]["readOnly"] is True


def test_the_clusters_selectors_find_the_pods(cluster: dict[str, dict[str, Any]]) -> None:
    labels = cluster["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for wanted in (
        cluster["Deployment"]["spec"]["selector"]["matchLabels"],
        cluster["Service"]["spec"]["selector"],
        cluster["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert wanted
        assert wanted.items() <= labels


class Answer(BaseHTTPRequestHandler):
    """Answers the path of the stable version, as long as it is served."""

    serving = True

    def do_GET(self) -> None:
        self.send_response(200 if self.serving and self.path == READY else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def rest() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(30)


def test_composes_health_check_tells_a_ready_server_from_another(
    compose: dict[str, Any], rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, *command = compose["healthcheck"]["test"]
    assert kind == "CMD"

    def check(port: int) -> int:
        words = [word.replace("$$", "$").replace("/8501", f"/{port}") for word in command]
        return subprocess.run(words, capture_output=True, timeout=30).returncode

    assert check(rest) == 0
    monkeypatch.setattr(Answer, "serving", False)
    assert check(rest) != 0
    assert check(1) != 0
