"""Wrong spellings that are often found for TensorFlow Serving: refused, with the right place."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from relentless.proto.errors import InvalidSettings
from relentless.proto.gen.model_server_pb2 import BatchingParameters, MonitoringConfig
from relentless.serving.model_server.config import anywhere, read_config
from relentless.serving.model_server.dialect import PLACES, SHAPES, advice
from relentless.serving.tf_protos import config_pb2, model_server_config_pb2


def said(text: str, message: Any) -> str:
    with pytest.raises(text_format.ParseError) as refused:
        text_format.Parse(text, message)
    return advice(str(refused.value))


MESSAGES = {
    "ModelConfig": (
        "model_config_list {{ config {{ {} }} }}",
        model_server_config_pb2.ModelServerConfig,
    ),
    "ModelServerConfig": ("{}", model_server_config_pb2.ModelServerConfig),
    "BatchingParameters": ("{}", BatchingParameters),
    "MonitoringConfig": ("{}", MonitoringConfig),
    "ConfigProto": ("{}", config_pb2.ConfigProto),
    "GPUOptions": ("gpu_options {{ {} }}", config_pb2.ConfigProto),
}


@pytest.mark.parametrize(
    ("message", "field"), [(message, field) for message in PLACES for field in PLACES[message]]
)
def test_a_field_of_another_place_is_refused_and_its_place_is_said(
    message: str, field: str
) -> None:
    around, kind = MESSAGES[message]
    for text in (f"{field}: 1", f"{field} {{ x: 1 }}", f"{field} [ {{ x: 1 }} ]"):
        assert said(around.format(text), kind()) == (
            f" The place of {field} is {PLACES[message][field]}."
        )


@pytest.mark.parametrize("field", sorted(SHAPES))
def test_a_number_where_a_message_belongs_is_refused_and_its_shape_is_said(field: str) -> None:
    if field in ("latest", "all", "specific"):
        text = f"model_config_list {{ config {{\n  model_version_policy {{ {field}: 2 }}\n}} }}"
        kind = model_server_config_pb2.ModelServerConfig
    else:
        text, kind = f"# a comment\n  {field}: 128", BatchingParameters
    assert said(text, kind()) == f" It is written {SHAPES[field]}."


def test_what_is_said_is_right() -> None:
    """Each shape and each place that is written as protobuf parses where it is sent to."""
    for field, shape in SHAPES.items():
        if field in ("latest", "all", "specific"):
            shape = f"model_config_list {{ config {{ model_version_policy {{ {shape} }} }} }}"
            text_format.Parse(shape, model_server_config_pb2.ModelServerConfig())
        else:
            text_format.Parse(shape, BatchingParameters())


def test_a_label_written_as_a_map_is_refused_and_its_shape_is_said() -> None:
    text = "model_config_list { config { version_labels: { stable: 2 } } }"
    assert said(text, model_server_config_pb2.ModelServerConfig()) == (
        ' A label is written version_labels { key: "stable" value: 1 }.'
    )


def test_of_the_unknown_nothing_is_said() -> None:
    assert said("nonsense: 1", BatchingParameters()) == ""
    assert advice("") == ""


def test_a_file_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    path.write_text('model_config_list { config { name: "m" gpu_options { allow_growth: true } } }')
    with pytest.raises(InvalidSettings, match=r"models\.config") as refused:
        read_config(path, anywhere)
    assert str(refused.value).endswith(
        'has no field named "gpu_options". The place of gpu_options is '
        "--tensorflow_session_config_file (ConfigProto): gpu_options, or "
        "--per_process_gpu_memory_fraction."
    )
