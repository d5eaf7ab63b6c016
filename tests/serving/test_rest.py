"""REST as TensorFlow Serving has it, over a real socket with a real client: row by row."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from relentless.serving.model_server.server import ModelServer

from .rest_server import rest_server

HALF, ECHO = "/v1/models/half:predict", "/v1/models/echo:predict"
REGRESS, CLASSIFY = "/v1/models/half:regress", "/v1/models/half:classify"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with rest_server(tmp_path_factory.mktemp("rest") / "models") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ModelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.rest}", timeout=20) as opened:
        yield opened


def body(signature: str, key: str, value: Any) -> str:
    return json.dumps({"signature_name": signature, key: value})


EXAMPLES = [{"x": 2.0}, {"x": [4.0]}]

ANSWERS = [
    # Rows, columns, versions and labels, as TensorFlow Serving's own tests ask.
    (HALF, '{"instances": [2.0, 3.0, 4.0]}', {"predictions": [3.0, 3.5, 4.0]}),
    (HALF, '{"instances": [[1.0, 2.0], [3.0, 4.0]]}', {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
    (HALF, '{"inputs": [2.0, 3.0, 4.0]}', {"outputs": [3.0, 3.5, 4.0]}),
    (HALF, '{"inputs": {"x": [[2.0], [4]]}}', {"outputs": [[3.0], [4.0]]}),
    (HALF, '{"inputs": 2}', {"outputs": 3.0}),
    (HALF, '{"instances": [{"x": 2.0}, {"x": 4}]}', {"predictions": [3.0, 4.0]}),
    (HALF, '{"signature_name": "", "instances": [2]}', {"predictions": [3.0]}),
    (HALF, '{"signature_name": "serving_default", "instances": [2]}', {"predictions": [3.0]}),
    (HALF, '{"unknown": {}, "instances": [2]}', {"predictions": [3.0]}),
    (HALF, '\ufeff {"instances": [2]} \n', {"predictions": [3.0]}),
    (HALF, '{"instances": [2], "instances": [4]}', {"predictions": [3.0]}),
    (HALF, '{"instances": [[], []]}', {"predictions": [[], []]}),
    ("/v1/models/half/versions/1:predict", '{"instances": [2.0]}', {"predictions": [2.0]}),
    ("/v1/models/half/versions/0123:predict", '{"instances": [2.0]}', {"predictions": [3.0]}),
    ("/v1/models/half/labels/stable:predict", '{"instances": [2.0]}', {"predictions": [3.0]}),
    ("/v1/models/half/labels/a%20b:predict", '{"instances": [2.0]}', {"predictions": [2.0]}),
    ("/v1/models/h%61lf:predict", '{"instances": [2.0]}', {"predictions": [3.0]}),
    ("/V1/Models/half/Versions/1:predict", '{"instances": [2.0]}', {"predictions": [2.0]}),
    # Classify and Regress.
    (
        CLASSIFY,
        body("classify_x_to_y", "examples", EXAMPLES),
        {"results": [[["", 3.0]], [["", 4.0]]]},
    ),
    (
        REGRESS,
        body("regress_x_to_y", "examples", EXAMPLES),
        {"results": [3.0, 4.0]},
    ),
    (
        "/v1/models/half/versions/1:regress",
        '{"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}, {"x": 4.0}]}',
        {"results": [2.0, 3.0]},
    ),
    # Every type there and back.
    (ECHO, body("double", "instances", [0.1, 1e300]), {"predictions": [0.1, 1e300]}),
    (ECHO, body("int32", "instances", [-(1 << 31)]), {"predictions": [-(1 << 31)]}),
    (ECHO, body("int64", "instances", [(1 << 63) - 1]), {"predictions": [(1 << 63) - 1]}),
    (ECHO, body("uint64", "instances", [(1 << 64) - 1]), {"predictions": [(1 << 64) - 1]}),
    (ECHO, body("uint32", "instances", [(1 << 32) - 1]), {"predictions": [(1 << 32) - 1]}),
    (ECHO, body("int8", "inputs", [[-128], [127]]), {"outputs": [[-128], [127]]}),
    (ECHO, body("bool", "instances", [True, False]), {"predictions": [True, False]}),
    (ECHO, body("string", "instances", ["aé", ""]), {"predictions": ["aé", ""]}),
    (ECHO, body("string", "instances", [{"b64": "aGk="}, "x"]), {"predictions": ["hi", "x"]}),
    (ECHO, body("string", "inputs", {"b64": "a G k"}), {"outputs": "hi"}),
    (
        ECHO,
        body("binary", "instances", [{"image_bytes": {"b64": "/wA="}}]),
        {"predictions": [{"b64": "/wA="}]},
    ),
    (
        ECHO,
        body("named", "instances", [{"text": "a", "number": 1}, {"text": "b", "number": 2.5}]),
        {"predictions": [{"number": 1.0, "text": "a"}, {"number": 2.5, "text": "b"}]},
    ),
    (
        ECHO,
        body("named", "inputs", {"text": "a", "number": [[1]], "other": 3}),
        {"outputs": {"number": [[1.0]], "text": "a"}},
    ),
    (
        ECHO,
        body("uneven", "inputs", [1]),
        {"outputs": {"seven": [1.0] * 7, "value": [1.0]}},
    ),
    (ECHO, '{"inputs": {"flag": true}}', {"outputs": True}),
]


@pytest.mark.parametrize(("path", "sent", "wanted"), ANSWERS)
def test_answers(client: httpx.Client, path: str, sent: str, wanted: Any) -> None:
    answer = client.post(path, content=sent.encode())
    assert (answer.status_code, answer.json()) == (200, wanted)
    assert answer.headers["content-type"] == "application/json"


VALUE = "JSON Value: {} Type: {} is not of expected type: {}"
ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "

NOT_FOUND = "Servable not found for request: "

REFUSALS = [
    # JSON that is none.
    (HALF, "", 400, "JSON Parse error: The document is empty"),
    (HALF, " \n ", 400, "JSON Parse error: The document is empty. at offset: 3"),
    (HALF, "instances = [1]", 400, "JSON Parse error: Invalid value. at offset: 0"),
    (
        HALF,
        '{"instances": [1, 2}',
        400,
        "JSON Parse error: Missing a comma or ] after an array element. at offset: 19",
    ),
    (
        HALF,
        '{"é": 1 "b": 2}',
        400,
        "JSON Parse error: Missing a comma or } after an object member. at offset: 9",
    ),
    (HALF, "{1: 2}", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    (
        HALF,
        '{"a" 1}',
        400,
        "JSON Parse error: Missing a colon after a name of object member. at offset: 5",
    ),
    (
        HALF,
        "{} {}",
        400,
        "JSON Parse error: The document root must not be followed by other values. at offset: 3",
    ),
    (HALF, '{"instances": [1.]}', 400, "JSON Parse error: Miss fraction part in number."),
    (HALF, '{"instances": [1e400]}', 400, "JSON Parse error: Number too big to be stored"),
    (
        ECHO,
        '{"signature_name": "string", "instances": ["\\ud800"]}',
        400,
        "JSON Parse error: The surrogate pair in string is invalid.",
    ),
    (HALF, '{"instances": [' + "9" * 5000, 400, "JSON Parse error: Number too big"),
    (HALF, '{"a": Inf, "instances": ' + "9" * 5000, 400, "JSON Parse error: Number too big"),
    (HALF, '{"a": -Inf, "instances": ["\\udc00"]}', 400, "JSON Parse error: The surrogate pair"),
    (HALF, '{"a": Inf', 400, "JSON Parse error: Missing a comma or } after an object member."),
    (HALF, "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
    (HALF, '"x"', 400, 'JSON Value: "x" Is not object'),
    # Keys.
    (HALF, "{}", 400, "Missing 'inputs' or 'instances' key"),
    (
        HALF,
        '{"signature_name": 100}',
        400,
        'JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    (
        HALF,
        '{"instances": 1, "inputs": 2}',
        400,
        'JSON Value: {\n    "instances": 1,\n    "inputs": 2\n} Not formatted correctly expecting '
        "only one of 'inputs' or 'instances' keys to exist ",
    ),
    (
        HALF,
        '{"instances": {}}',
        400,
        "JSON Value: {\n    \"instances\": {}\n} Excepting 'instances' to be an list/array",
    ),
    (
        HALF,
        '{"instances": []}',
        400,
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    (
        HALF,
        '{"signature_name": "x", "instances": [1]}',
        400,
        'Serving signature name: "x" not found in signature def',
    ),
    (
        ECHO,
        '{"signature_name": "no_inputs", "inputs": []}',
        400,
        "Failed to get input map for signature: no_inputs",
    ),
    (
        ECHO,
        '{"signature_name": "named", "instances": [1]}',
        400,
        "instances is a plain list, but expecting list of objects as multiple input tensors "
        "required as per tensorinfo_map",
    ),
    (
        ECHO,
        '{"signature_name": "named", "inputs": [1]}',
        400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors required "
        "as per tensorinfo_map",
    ),
    (
        ECHO,
        '{"signature_name": "named", "inputs": {"text": "a"}}',
        400,
        "Missing named input: number in 'inputs' object.",
    ),
    (
        ECHO,
        '{"signature_name": "named", "instances": [{"text": "a"}]}',
        400,
        'Failed to process element: 0 of \'instances\' list. JSON object: {\n    "text": "a"\n} '
        "keys must be equal to: number,text",
    ),
    (
        HALF,
        '{"instances": [{"y": 1}]}',
        400,
        "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: y",
    ),
    (HALF, '{"instances": [{"x": 1}, 2]}', 400, "Expecting object but got list at item 1 of input"),
    (HALF, '{"instances": [1, {"x": 1}]}', 400, "Expecting value/list but got object at item 1 of"),
    # Values of the wrong type, size, shape.
    (
        HALF,
        '{"instances": ["x", "y"]}',
        400,
        ROW.format(0) + VALUE.format('"x"', "String", "float"),
    ),
    (HALF, '{"instances": [1, null]}', 400, ROW.format(1) + VALUE.format("null", "Null", "float")),
    (HALF, '{"instances": [true]}', 400, ROW.format(0) + VALUE.format("true", "True", "float")),
    (
        HALF,
        '{"instances": [{"b64": "aGk="}]}',
        400,
        ROW.format(0) + VALUE.format('{\n    "b64": "aGk="\n}', "Object", "float"),
    ),
    (HALF, '{"inputs": "x"}', 400, VALUE.format('"x"', "String", "float")),
    (
        ECHO,
        '{"signature_name": "int32", "inputs": [1.5]}',
        400,
        VALUE.format("1.5", "Number", "int32"),
    ),
    (
        ECHO,
        '{"signature_name": "int32", "inputs": 2147483648}',
        400,
        VALUE.format("2147483648", "Number", "int32"),
    ),
    (
        ECHO,
        '{"signature_name": "int8", "inputs": 128}',
        400,
        VALUE.format("128", "Number", "int8"),
    ),
    (
        ECHO,
        '{"signature_name": "int64", "inputs": 9223372036854775808}',
        400,
        VALUE.format("9223372036854775808", "Number", "int64"),
    ),
    (
        ECHO,
        '{"signature_name": "uint64", "inputs": -1}',
        400,
        VALUE.format("-1", "Number", "uint64"),
    ),
    (ECHO, '{"inputs": 1}', 400, VALUE.format("1", "Number", "bool")),
    (
        ECHO,
        '{"signature_name": "string", "inputs": 1}',
        400,
        VALUE.format("1", "Number", "string"),
    ),
    (
        ECHO,
        '{"signature_name": "half", "inputs": 1}',
        501,
        "Conversion of JSON Value: 1 to type: half",
    ),
    (
        ECHO,
        '{"signature_name": "half", "inputs": []}',
        400,
        None,
    ),
    (
        HALF,
        '{"instances": [16777217]}',
        400,
        ROW.format(0) + "Cannot convert JSON value: 16777217 to float without loss of precision.",
    ),
    (
        HALF,
        '{"inputs": 1.7976931348623157e+308}',
        400,
        "Cannot convert JSON value: 1.7976931348623157e+308 to float without loss of precision.",
    ),
    (
        ECHO,
        '{"signature_name": "double", "inputs": 9007199254740993}',
        400,
        "Cannot convert JSON value: 9007199254740993 to double without loss of precision.",
    ),
    (
        HALF,
        '{"instances": [[1, 2], [3]]}',
        400,
        ROW.format(1) + "Expecting tensor size: 2 but got: 1",
    ),
    (HALF, '{"instances": [1, [1]]}', 400, ROW.format(1) + "Expecting shape [] but got: [1]"),
    (
        HALF,
        '{"instances": [[1], [[1]]]}',
        400,
        ROW.format(1) + "Expecting shape [1] but got: [1,1]",
    ),
    (
        HALF,
        '{"inputs": [[1], 2]}',
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    (HALF, '{"inputs": [1, [2]]}', 400, "Encountered list at unexpected level: 1 expected < 1"),
    (
        HALF,
        '{"inputs": [[1], [2, 3]]}',
        400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    (
        ECHO,
        '{"signature_name": "string", "inputs": {"b64": "a"}}',
        400,
        "Unable to base64 decode",
    ),
    (
        ECHO,
        '{"signature_name": "string", "inputs": [{"b64": 1}]}',
        400,
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
    ),
    (HALF, f'{{"inputs": {"[" * 300}1{"]" * 300}}}', 400, "JSON value is nested deeper than 64"),
    (HALF, '{"a": ' + "[" * 5000, 400, "JSON Parse error: nested too deep"),
    # Answers that rows cannot spell.
    (
        ECHO,
        '{"signature_name": "uneven", "instances": [1]}',
        400,
        "Tensor name: value has inconsistent batch size: 1 expecting: 7",
    ),
    # Examples.
    (
        CLASSIFY,
        "{}",
        400,
        "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
    ),
    (
        REGRESS,
        '{"examples": {}}',
        400,
        "JSON Value: {\n    \"examples\": {}\n} Expecting 'examples' value to be an list/array",
    ),
    (
        REGRESS,
        '{"examples": []}',
        400,
        "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
    ),
    (
        REGRESS,
        '{"context": [], "examples": [{}]}',
        400,
        "Example must be JSON object but got JSON Array",
    ),
    (
        REGRESS,
        '{"examples": [1]}',
        400,
        "Example must be JSON object but got JSON Number",
    ),
    (
        REGRESS,
        '{"examples": [{"x": null}]}',
        400,
        "Feature: x has element with unexpected JSON type: Null",
    ),
    (
        REGRESS,
        '{"examples": [{"x": [[1]]}]}',
        400,
        "Feature: x has element with unexpected JSON type: Array",
    ),
    (
        REGRESS,
        '{"examples": [{"x": {"a": 1}}]}',
        400,
        "Feature: x has element with unexpected JSON type: Object",
    ),
    (
        REGRESS,
        '{"examples": [{"x": [1, 1.0]}]}',
        400,
        "Unexpected element type in feature: x expecting type: int64",
    ),
    (
        REGRESS,
        '{"examples": [{"x": 18446744073709551603}]}',
        400,
        "Feature: x has uint64 element. Only int64 is supported.",
    ),
    (
        REGRESS,
        '{"examples": [{"x": 1e300}]}',
        400,
        "Cannot convert JSON value: 1e+300 to float without loss of precision.",
    ),
    (
        REGRESS,
        '{"signature_name": "x", "examples": [{}]}',
        400,
        "No signature was found with the name: x",
    ),
    # Models, versions, labels.
    ("/v1/models/no:predict", '{"instances": [1]}', 404, NOT_FOUND + "Latest(no)"),
    (
        "/v1/models/half/versions/9:predict",
        '{"instances": [1]}',
        404,
        "Servable not found for request: Specific(half, 9)",
    ),
    (
        "/v1/models/half/labels/x:predict",
        '{"instances": [1]}',
        400,
        "Unrecognized servable version label: x",
    ),
    (
        "/v1/models/half/versions/18446744073709551615:predict",
        "",
        400,
        "Failed to convert version: 18446744073709551615 to numeric.",
    ),
]


@pytest.mark.promise("P11")
@pytest.mark.parametrize(("path", "sent", "status", "words"), REFUSALS)
def test_refusals(
    client: httpx.Client, path: str, sent: str, status: int, words: str | None
) -> None:
    answer = client.post(path, content=sent.encode())
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    if words is not None:
        assert answer.json()["error"].startswith(words)


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
        ("OPTIONS", HALF, 400, f"Malformed request: OPTIONS {HALF}"),
        ("POST", "/v1/models/half:PREDICT", 400, "Malformed request: POST /v1/models/half:PREDICT"),
        ("POST", f"{HALF}?a=1", 400, f"Malformed request: POST {HALF}?a=1"),
        ("POST", "/v1/models/half/metadata", 400, "Malformed request: POST"),
        ("POST", "/v1/models/half/versions/x:regress", 400, "Malformed request: POST"),
        ("POST", "/v1/models/half/labels/x/versions/1:regress", 400, "Malformed request: POST"),
        ("GET", "/v1/models/no", 404, "Could not find any versions of model no"),
        ("GET", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("GET", "/v1/models/no/metadata", 404, "Servable not found for request: Latest(no)"),
        ("GET", "/", 404, "Malformed request: GET /"),
        ("POST", "/v2/models/half", 404, "Malformed request: POST /v2/models/half"),
    ],
)
def test_paths_that_are_none(
    client: httpx.Client, verb: str, path: str, status: int, words: str
) -> None:
    answer = client.request(verb, path)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(words)


def test_head_has_the_status_of_a_malformed_request_and_no_body(client: httpx.Client) -> None:
    answer = client.head("/v1/models/half")
    assert (answer.status_code, answer.content) == (400, b"")


@pytest.mark.parametrize("path", ["/versions/123", "/versions/1", ""])
def test_status_lists_versions(client: httpx.Client, path: str) -> None:
    listed = client.get(f"/v1/models/half{path}").json()["model_version_status"]
    wanted = [path.rpartition("/")[2]] if path else ["123", "1"]
    good = {"error_code": "OK", "error_message": ""}
    assert listed == [{"version": v, "state": "AVAILABLE", "status": good} for v in wanted]


def test_metadata_gives_the_signatures(client: httpx.Client) -> None:
    answer = client.get("/v1/models/half/labels/stable/metadata").json()
    assert answer["model_spec"] == {"name": "half", "signature_name": "", "version": "123"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "classify_x_to_y", "regress_x_to_y"} <= set(signatures)
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    ("path", "sent", "wanted"),
    [
        (HALF, '{"instances": [2.0, 3]}', '{\n    "predictions": [3.0, 3.5\n    ]\n}'),
        (HALF, '{"inputs": [2.0]}', '{\n    "outputs": [\n        3.0\n    ]\n}'),
        (
            ECHO,
            body("float", "instances", [9e6, 999999, 0.5, 0.0003, 0.00003, 555557.5, 1 / 3, -0.0]),
            '{\n    "predictions": [9e+06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5, 0.333333343, '
            "-0.0\n    ]\n}",
        ),
        (
            ECHO,
            body("double", "instances", [1 / 3, 0.1]),
            '{\n    "predictions": [0.33333333333333331, 0.1\n    ]\n}',
        ),
        (
            ECHO,
            '{"signature_name": "float", "instances": [NaN, Infinity, -Infinity, Inf, -Inf]}',
            '{\n    "predictions": [NaN, Infinity, -Infinity, Infinity, -Infinity\n    ]\n}',
        ),
        (
            ECHO,
            body("named", "instances", [{"text": 'a"\n', "number": [1]}]),
            '{\n    "predictions": [\n        {\n            "number": [1.0],\n'
            '            "text": "a\\"\\n"\n        }\n    ]\n}',
        ),
    ],
)
def test_answers_are_laid_out_and_numbers_written_as_there(
    client: httpx.Client, path: str, sent: str, wanted: str
) -> None:
    assert client.post(path, content=sent).text == wanted


def test_a_string_that_is_no_utf8_is_still_json(client: httpx.Client) -> None:
    sent = b'{"signature_name": "string", "instances": ["a\xff", {"b64": "/w=="}]}'
    answer = client.post(ECHO, content=sent)
    assert answer.json() == {"predictions": ["a\ufffd", "\ufffd"]}
