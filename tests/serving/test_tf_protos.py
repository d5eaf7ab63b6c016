"""TensorFlow Serving's messages load without TensorFlow, and beside it."""

import subprocess
import sys

import pytest

AFTER = (
    "import sys\n"
    "from relentless.serving.tf_protos import predict_pb2\n"
    "assert 'tensorflow' not in sys.modules\n"
    "import tensorflow as tf\n"
    "assert float(tf.constant(2.0) * 2) == 4.0\n"
    "request = predict_pb2.PredictRequest()\n"
    "request.inputs['x'].CopyFrom(tf.make_tensor_proto([1.0]))\n"
)
BEFORE = (
    "import tensorflow as tf\n"
    "from relentless.serving.tf_protos import predict_pb2\n"
    "request = predict_pb2.PredictRequest()\n"
    "request.inputs['x'].CopyFrom(tf.make_tensor_proto([1.0]))\n"
    "assert float(tf.make_ndarray(request.inputs['x'])[0]) == 1.0\n"
)


@pytest.mark.timeout(320)
@pytest.mark.parametrize("code", [AFTER, BEFORE], ids=["tensorflow later", "tensorflow before"])
def test_the_real_tensorflow_is_left_alone(code: str, soak: bool) -> None:
    if not soak:
        pytest.skip("imports TensorFlow; runs in the soak")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
