"""What REST refuses of a body or an answer, with TensorFlow Serving's codes and words."""

import httpx
import pytest

from ..rest_server import CLASSIFY, ECHO, HALF, REGRESS

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
        "JSON Value: {\n    \"instances\": {}\n} Expecting 'instances' to be an list/array",
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
        "Feature: x has uint64_t element. Only int64_t is supported.",
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
    rest_client: httpx.Client, path: str, sent: str, status: int, words: str | None
) -> None:
    answer = rest_client.post(path, content=sent.encode())
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    if words is not None:
        assert answer.json()["error"].startswith(words)
