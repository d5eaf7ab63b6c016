"""Which verb and path asks for what: methods, status and metadata; and those that are none."""

import json

import httpx
import pytest

from relentless.serving.model_server.rest.json_answers import status_json
from relentless.serving.tf_protos import get_model_status_pb2

from ..rest_server import HALF


@pytest.mark.parametrize(
    ("verb", "path", "status", "words"),
    [
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/debug/half", 400, "Malformed request: GET /v1/models/debug/half"),
        ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
        ("GET", HALF, 400, f"Malformed request: GET {HALF}"),
        ("PUT", HALF, 400, f"Malformed request: PUT {HALF}"),
        ("DELETE", "/v1/models/half", 400, "Malformed request: DELETE /v1/models/half"),
        ("OPTIONS", HALF, 400, "Origin header is missing in CORS preflight"),
        ("OPTIONS", "/", 404, "Malformed request: OPTIONS /"),
        ("POST", "/v1/models/half:PREDICT", 400, "Malformed request: POST /v1/models/half:PREDICT"),
        ("POST", f"{HALF}?a=1", 400, f"Malformed request: POST {HALF}?a=1"),
        ("POST", "/v1/models/half/metadata", 400, "Malformed request: POST"),
        ("POST", "/v1/models/half/versions/x:regress", 400, "Malformed request: POST"),
        ("POST", "/v1/models/half/labels/x/versions/1:regress", 400, "Malformed request: POST"),
        ("GET", "/v1/models/no", 404, "Could not find any versions of model no"),
        ("GET", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("GET", "/v1/models/no/metadata", 404, "Servable not found for request: Latest(no)"),
        ("GET", f"/v1/models/half/versions/{'9' * 5000}", 400, "Failed to convert version: 999"),
        ("GET", f"/v1/models/half/versions/{'0' * 20}{1 << 63}", 400, "Failed to convert version"),
        ("GET", "/", 404, "Malformed request: GET /"),
        ("TRACE", HALF, 501, "HTTP method not implemented: TRACE"),
        ("PROPFIND", "/", 501, "HTTP method not implemented: PROPFIND"),
        ("POST", "/v2/models/half", 404, "Malformed request: POST /v2/models/half"),
    ],
)
def test_paths_that_are_none(
    rest_client: httpx.Client, verb: str, path: str, status: int, words: str
) -> None:
    answer = rest_client.request(verb, path)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(words)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://a.example"])
def test_a_preflight_has_no_body(rest_client: httpx.Client, origin: str) -> None:
    answer = rest_client.options("/v1/any", headers={"Origin": origin})
    assert (answer.status_code, answer.content) == (200, b"")


def test_head_has_the_status_of_a_malformed_request_and_no_body(rest_client: httpx.Client) -> None:
    answer = rest_client.head("/v1/models/half")
    assert (answer.status_code, answer.content) == (400, b"")


@pytest.mark.parametrize("path", ["/versions/123", "/versions/1", "", "/METADATA"])
def test_status_lists_versions(rest_client: httpx.Client, path: str) -> None:
    listed = rest_client.get(f"/v1/models/half{path}").json()["model_version_status"]
    wanted = [path.rpartition("/")[2]] if "versions" in path else ["123", "1"]
    good = {"error_code": "OK", "error_message": ""}
    assert listed == [{"version": v, "state": "AVAILABLE", "status": good} for v in wanted]


def test_metadata_gives_the_signatures(rest_client: httpx.Client) -> None:
    answer = rest_client.get("/v1/models/half/labels/stable/metadata").json()
    assert answer["model_spec"] == {"name": "half", "signature_name": "", "version": "123"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "classify_x_to_y", "regress_x_to_y"} <= set(signatures)
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_metadata_is_spelt_and_ordered_as_there(rest_client: httpx.Client) -> None:
    text = rest_client.get("/v1/models/half/labels/stable/metadata").text
    spec = '{\n "name": "half",\n "version": "123",\n "signature_name": ""\n}\n'
    assert text.startswith(f'{{\n"model_spec":{spec},\n"metadata": {{"signature_def": {{\n')
    assert text.endswith("\n}\n}\n}\n")
    shape = '      "dim": [],\n      "unknown_rank": true\n'
    assert f'"dtype": "DT_FLOAT",\n     "tensor_shape": {{\n{shape}' in text


def test_messages_write_angle_brackets_as_protobuf_does() -> None:
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=1).status.error_message = "<é> no"
    text = status_json(response)
    assert '"error_message": "\\u003cé\\u003e no"'.encode() in text
    assert json.loads(text)["model_version_status"][0]["status"]["error_message"] == "<é> no"
