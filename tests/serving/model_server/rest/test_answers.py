"""REST's answers over a real socket, row by row, as TensorFlow Serving has them."""

import json
import math
from typing import Any

import httpx
import pytest

from ..rest_server import CLASSIFY, ECHO, HALF, REGRESS


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
    (
        REGRESS,
        '{"signature_name": "regress_x_to_y", "examples": [{"x": 1e300}, {"x": -1e300}]}',
        {"results": [math.inf, -math.inf]},
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
def test_answers(rest_client: httpx.Client, path: str, sent: str, wanted: Any) -> None:
    answer = rest_client.post(path, content=sent.encode())
    assert (answer.status_code, answer.json()) == (200, wanted)
    assert answer.headers["content-type"] == "application/json"


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
            '{"signature_name": "float", "instances": [1435774380, 1435774380.0, 1.79769e+308, '
            "-1.79769e+308, 2.22507e-308, -2.22507e-308]}",
            '{\n    "predictions": [1.43577434e+09, 1.43577434e+09, Infinity, -Infinity, 0.0, -0.0'
            "\n    ]\n}",
        ),
        (
            ECHO,
            body("double", "instances", [1 / 3, 0.1, (1 << 53) + 1]),
            '{\n    "predictions": [0.33333333333333331, 0.1, 9007199254740992.0\n    ]\n}',
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
    rest_client: httpx.Client, path: str, sent: str, wanted: str
) -> None:
    assert rest_client.post(path, content=sent).text == wanted


def test_a_string_that_is_no_utf8_is_still_json(rest_client: httpx.Client) -> None:
    sent = b'{"signature_name": "string", "instances": ["a\xff", {"b64": "/w=="}]}'
    answer = rest_client.post(ECHO, content=sent)
    assert answer.json() == {"predictions": ["a\ufffd", "\ufffd"]}
