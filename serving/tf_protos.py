"""TensorFlow Serving's own protobuf modules, imported without importing TensorFlow.

``tensorflow_serving.apis`` imports ``tensorflow.core.*``, and that would run the ten seconds of
``tensorflow/__init__.py``. While the modules load, a bare module that only knows where the package
lies stands in for ``tensorflow``. A TensorFlow that is already imported is used as it is, and one
that is imported later is the real one. Everything here that needs these messages takes them from
this module.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def tensorflow_folder() -> Path:
    """Give the installed package's folder without executing the package.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
    """
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "TensorFlow is not installed: its wheel carries the protobuf modules and the runtime",
            name="tensorflow",
        )
    return Path(next(iter(spec.submodule_search_locations)))


@contextmanager
def _stand_in() -> Iterator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    module = types.ModuleType("tensorflow")
    module.__path__ = [str(tensorflow_folder())]
    sys.modules["tensorflow"] = module
    try:
        yield
    finally:
        if sys.modules.get("tensorflow") is module:
            del sys.modules["tensorflow"]


def _load(name: str) -> Any:
    return importlib.import_module(name)


with _stand_in():
    classification_pb2 = _load("tensorflow_serving.apis.classification_pb2")
    get_model_metadata_pb2 = _load("tensorflow_serving.apis.get_model_metadata_pb2")
    get_model_status_pb2 = _load("tensorflow_serving.apis.get_model_status_pb2")
    inference_pb2 = _load("tensorflow_serving.apis.inference_pb2")
    model_management_pb2 = _load("tensorflow_serving.apis.model_management_pb2")
    model_pb2 = _load("tensorflow_serving.apis.model_pb2")
    predict_pb2 = _load("tensorflow_serving.apis.predict_pb2")
    prediction_log_pb2 = _load("tensorflow_serving.apis.prediction_log_pb2")
    regression_pb2 = _load("tensorflow_serving.apis.regression_pb2")
    model_service_pb2_grpc = _load("tensorflow_serving.apis.model_service_pb2_grpc")
    prediction_service_pb2_grpc = _load("tensorflow_serving.apis.prediction_service_pb2_grpc")
    model_server_config_pb2 = _load("tensorflow_serving.config.model_server_config_pb2")
    policy_pb2 = _load("tensorflow_serving.config.file_system_storage_path_source_pb2")
    config_pb2 = _load("tensorflow.core.protobuf.config_pb2")
    meta_graph_pb2 = _load("tensorflow.core.protobuf.meta_graph_pb2")
    saved_model_pb2 = _load("tensorflow.core.protobuf.saved_model_pb2")
    tensor_pb2 = _load("tensorflow.core.framework.tensor_pb2")
    types_pb2 = _load("tensorflow.core.framework.types_pb2")
    xplane_pb2 = _load("tensorflow.tsl.profiler.protobuf.xplane_pb2")
