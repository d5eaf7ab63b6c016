"""The text protobuf files that flags name, refused in TensorFlow Serving's words."""

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.dialect import advice

MAX_BYTES = 16 << 20


def read_message(path: Path, message: Any) -> Any:
    """Fill a message from a file of text protobuf, and give it.

    Raises:
        InvalidSettings: the file cannot be read or does not parse.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidSettings(f"{path} has more than {MAX_BYTES} bytes")
        return text_format.Parse(data.decode("utf-8"), message)
    except OSError as error:
        raise InvalidSettings(f"{path}; {error.strerror or error}") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        kind = f"tensorflow.serving.{message.DESCRIPTOR.name}"
        raise InvalidSettings(
            f"Invalid protobuf file: '{path}': Error parsing text-format {kind}: {error}"
            f"{advice(str(error))}"
        ) from error
