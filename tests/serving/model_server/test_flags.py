"""TensorFlow Serving's dialect of flags, and a server that is started by them."""

import signal
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.flags import IGNORED, UNSUPPORTED, parse, usage
from relentless.serving.model_server.listeners import addresses, channel_arguments
from relentless.serving.model_server.main import models_for
from relentless.serving.model_server.options import ServerOptions, describe

from .by_flags import (
    PATIENCE_S,
    answer,
    config_text,
    refusal,
    reload,
    run_to_end,
    started,
    status,
    wait_for,
)
from .upstream_models import half_plus

MODEL = "--model_base_path=/m"
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    half_plus(root / "half_plus_two" / "00000123", 2.0)
    half_plus(root / "half_plus_three" / "00000123", 3.0)
    return root


def test_every_flag_has_tf_servings_default_where_it_is_not_given() -> None:
    options = parse([MODEL])
    assert isinstance(options, ServerOptions)
    assert options.model_base_path == "/m"
    assert (options.port, options.rest_api_port, options.model_name) == (8500, 0, "default")
    assert options.max_num_load_retries == 5
    assert options.load_retry_interval_micros == 60_000_000
    assert options.file_system_poll_wait_seconds == 1
    assert options.enable_model_warmup
    assert not options.enable_batching
    assert options.remove_unused_fields_from_bundle_metagraph


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--port=9"], "port", 9),
        (["--port", "9"], "port", 9),
        (["--enable_batching"], "enable_batching", True),
        (["--enable_batching=true"], "enable_batching", True),
        (["--enable_model_warmup=false"], "enable_model_warmup", False),
        (["--file_system_poll_wait_seconds=-1"], "file_system_poll_wait_seconds", -1),
        (["--load_retry_interval_micros=9000000000"], "load_retry_interval_micros", 9 * 10**9),
        (["--per_process_gpu_memory_fraction=0.5"], "per_process_gpu_memory_fraction", 0.5),
        (["--mixed_precision=bfloat16"], "mixed_precision", "bfloat16"),
        (["--model_name="], "model_name", ""),
        (["--grpc_channel_arguments=a=1,b=x"], "grpc_channel_arguments", "a=1,b=x"),
    ],
)
def test_a_flag_is_read_as_tf_serving_reads_it(words: list[str], name: str, value: Any) -> None:
    assert getattr(parse([MODEL, *words]), name) == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([MODEL, "--prot=1"], "--prot"),
        ([MODEL, "port=1"], "port=1"),
        ([MODEL, "--port=x"], "--port=x: give a whole number"),
        ([MODEL, "--port=70000"], "--port=70000"),
        ([MODEL, "--port"], "--port needs a value"),
        ([MODEL, "--port=99999999999"], "32 bits"),
        ([MODEL, "--enable_batching=yes"], "--enable_batching=yes: give true or false"),
        ([MODEL, "--rest_api_num_threads=0"], "--rest_api_num_threads=0"),
        ([MODEL, "--per_process_gpu_memory_fraction=2"], "between 0.0 and 1.0"),
        ([MODEL, "--batching_parameters_file=/f"], "add --enable_batching"),
        ([MODEL, "--prefer_tflite_model"], "no TensorFlow Lite runtime here"),
        ([], "Give --model_base_path or --model_config_file"),
        (
            [MODEL, *(f"--tensorflow_{p}_parallelism=2" for p in ("session",))]
            + [f"--tensorflow_{p}_op_parallelism=2" for p in ("intra", "inter")],
            "separately. You cannot configure all.",
        ),
    ],
)
def test_a_flag_that_cannot_be_taken_is_named(words: list[str], message: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        parse(words)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_a_flag_of_tf_serving_that_is_not_served_here_says_why(name: str) -> None:
    with pytest.raises(InvalidSettings, match=f"--{name} is not supported here: "):
        parse([MODEL, f"--{name}=1"])
    assert isinstance(parse([MODEL, f"--{name}=false"]), ServerOptions)


NAMES = st.sampled_from([*(name for name, *_ in describe()), *UNSUPPORTED, *IGNORED, "other"])
WORDS = st.one_of(
    st.text(max_size=12),
    st.builds("--{}".format, NAMES),
    st.builds("--{}={}".format, NAMES, st.text(max_size=12)),
    st.builds("--{}={}".format, NAMES, st.integers()),
)


@pytest.mark.promise("P11")
@settings(max_examples=400, deadline=None)
@given(words=st.lists(WORDS, max_size=5))
def test_any_command_line_gives_options_or_says_what_is_wrong(words: list[str]) -> None:
    try:
        wish = parse([MODEL, *words])
    except InvalidSettings as error:
        assert str(error)
        return
    assert wish in ("help", "version") or isinstance(wish, ServerOptions)


def test_the_help_lists_every_flag() -> None:
    text = usage("x")
    assert parse(["--help"]) == "help"
    assert parse([MODEL, "--version"]) == "version"
    assert all(f"--{name}=" in text for name, *_ in describe())


def test_a_port_is_opened_on_loopback_of_both_families() -> None:
    assert addresses(ServerOptions(port=7)) == ("127.0.0.1:7", "[::1]:7")
    both = ServerOptions(port=7, bind_address="::", grpc_socket_path="/s")
    assert addresses(both) == ("[::]:7", "unix:/s")
    with pytest.raises(InvalidSettings, match="--port or --grpc_socket_path"):
        addresses(ServerOptions(port=0))


def test_channel_arguments_are_numbers_where_they_look_like_numbers() -> None:
    given = dict(channel_arguments("grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"))
    assert given["grpc.max_connection_age_ms"] == 2000
    assert given["grpc.lb_policy_name"] == "grpclb"
    assert given["grpc.so_reuseport"] == 0
    for bad in ("grpc.max_connection_age_ms", "=1", "a=99999999999"):
        with pytest.raises(InvalidSettings, match="--grpc_channel_arguments"):
            channel_arguments(bad)


def test_a_server_of_one_model(models: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    with started(
        tmp_path,
        f"--model_base_path={models / 'half_plus_two'}",
        f"--grpc_socket_path={socket}",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
        "--use_saved_model=true",
        "--per_process_gpu_memory_fraction=0.5",
        "--mixed_precision=float16",
    ) as server:
        for address in (server.address, f"127.0.0.1:{server.port}", f"unix:{socket}"):
            assert answer(address) == (3.0, 123)
        assert status(server.address) == {123: (30, 0, "")}
        assert server.says("Running gRPC ModelServer at 127.0.0.1:")
        assert server.says(f"Running gRPC ModelServer at UNIX socket {socket} ...")
        assert server.says("float16 auto mixed precision is not supported.")
        assert server.log.read_text().count("no GPU is used here") == 1
        with grpc.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                check = health_pb2.HealthCheckRequest()
                health_pb2_grpc.HealthStub(channel).Check(check, timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_the_newest_server_takes_over_a_socket_that_was_left_behind(
    models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    flags = (f"--grpc_socket_path={path}", "--port=0")
    with started(tmp_path, *flags, f"--model_base_path={models / 'half_plus_two'}"):
        assert answer(f"unix:{path}") == (3.0, 123)
    assert path.exists()
    with started(tmp_path, *flags, f"--model_base_path={models / 'half_plus_three'}"):
        assert answer(f"unix:{path}") == (4.0, 123)


def test_health_is_answered_where_it_was_asked_for(models: Path, tmp_path: Path) -> None:
    with (
        started(
            tmp_path,
            f"--model_base_path={models / 'half_plus_two'}",
            "--enable_grpc_healthcheck_service",
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        for name in ("", "ModelService", "PredictionService"):
            check = health_pb2.HealthCheckRequest(service=name)
            answered = health_pb2_grpc.HealthStub(channel).Check(check, timeout=20)
            assert answered.status == health_pb2.HealthCheckResponse.SERVING


def test_a_configuration_file_names_many_models_and_is_read_again(
    models: Path, tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    two, three = (("two", models / "half_plus_two"), ("three", models / "half_plus_three"))
    config.write_text(config_text(two, three))
    with started(
        tmp_path, f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"
    ) as server:
        assert answer(server.address, "two") == (3.0, 123)
        assert answer(server.address, "three") == (4.0, 123)
        config.write_text("improperly formatted")
        wait_for(lambda: server.says("configuration not taken over"))
        assert answer(server.address, "two") == (3.0, 123)
        config.write_text("")
        wait_for(lambda: server.says("from one ModelConfigList to another"))
        assert answer(server.address, "three") == (4.0, 123)
        config.write_text(config_text(("new", models / "half_plus_three"), stable=123))
        wait_for(lambda: server.says("label to version 123 of model new"))
        config.write_text(config_text(("new", models / "half_plus_three")))
        loaded = "Successfully loaded servable version {name: new version: 123}"
        wait_for(lambda: server.says(f'"model": "new", "version": 123, "event": "{loaded}"'))
        assert answer(server.address, "new") == (4.0, 123)
        wait_for(lambda: refusal(server.address, "two")[0] is NOT_FOUND)


def test_without_a_poll_the_file_and_the_folders_are_read_once(
    models: Path, tmp_path: Path
) -> None:
    base = tmp_path / "m" / "default"
    half_plus(base / "1", 2.0)
    config = tmp_path / "models.config"
    config.write_text(config_text(("default", base)))
    with started(
        tmp_path,
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=0",
        "--file_system_poll_wait_seconds=0",
    ) as server:
        config.write_text(config_text(("new", models / "half_plus_three")))
        half_plus(base / "2", 3.0)
        with pytest.raises(AssertionError, match="did not come"):
            wait_shortly(lambda: answer(server.address) != (3.0, 1))
        reload(server.address, ("default", base))
        assert answer(server.address) == (4.0, 2)


def wait_shortly(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(15):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError("it did not come")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (config_text(("m", Path("relative"))), "to have an absolute path or URI"),
        (
            'model_config_list { config { name: "m" base_path: "gs://m" '
            'model_platform: "tensorflow" } }',
            "Model m lies at gs://m: only local folders are served here",
        ),
        (
            config_text(("m", Path("/m")), ("m", Path("/n"))),
            "Illegal to list model m multiple times in config list",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" } }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "caffe" } }',
            "Model m requests unsupported platform caffe",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" '
            "logging_config { sampling_config { sampling_rate: 1 } } } }",
            "No request-logger-creator provided.",
        ),
        ("custom_model_config { }", "ModelServer does not yet support custom model config."),
    ],
)
def test_a_configuration_that_cannot_be_served_says_why(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        models_for(ServerOptions(model_config_file=str(path)))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "improperly formatted",
            "Invalid protobuf file: '{path}': Error parsing text-format "
            "tensorflow.serving.ModelServerConfig: ",
        ),
        (
            config_text(("m", Path("/m")), stable=1),
            "Request to assign label to version 1 of model m, which is not currently available",
        ),
    ],
)
def test_a_bad_configuration_ends_it_with_a_message(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    done = run_to_end("--port=1", f"--model_config_file={path}")
    assert done.returncode not in (0, 1)
    assert words.format(path=path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_does_not_load_ends_it_once_its_retries_are_used_up(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    done = run_to_end(
        "--port=1",
        f"--model_base_path={tmp_path / 'm'}",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=1000",
    )
    assert done.returncode not in (0, 1)
    assert done.stderr.count("version refused") == 3
    words = "1 servable(s) did not become available: {{{name: default version: 1} due to error: "
    assert f"{words}NOT_FOUND: " in done.stderr


def test_it_waits_for_a_model_that_is_not_there_yet(tmp_path: Path) -> None:
    base = tmp_path / "m" / "default"
    with started(tmp_path, f"--model_base_path={base}", ready=False) as server:
        wait_for(lambda: server.says("waiting for models"))
        wait_for(lambda: server.says("no base path"))
        base.mkdir(parents=True)
        wait_for(lambda: server.says("no versions under the base path"))
        half_plus(base / "7", 2.0)
        assert server.wait_ready()
        assert answer(server.address) == (3.0, 7)


def test_it_can_be_ended_while_it_waits(tmp_path: Path) -> None:
    flags = (f"--model_base_path={tmp_path / 'no'}", "--file_system_poll_wait_seconds=-1")
    with started(tmp_path, *flags, ready=False) as server:
        wait_for(lambda: server.says("waiting for models"))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_it_does_not_listen_where_others_reach_it(models: Path) -> None:
    done = run_to_end(
        "--bind_address=0.0.0.0", "--port=1", f"--model_base_path={models / 'half_plus_two'}"
    )
    assert done.returncode not in (0, 1)
    assert "no credential" in done.stderr
