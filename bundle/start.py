"""What the bundle runs: MCP on standard input and output, passed on to a hub at an address."""

import argparse
import asyncio
import sys
from pathlib import Path

from relentless.mcp_server.stdio import carry, credential_in, safe
from relentless.proto.errors import RelentlessError


def main() -> None:
    """Read the two arguments and carry messages until the host closes its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    given = parser.parse_args()
    try:
        asyncio.run(carry(safe(given.url), credential_in(given.key_file)))
    except RelentlessError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
