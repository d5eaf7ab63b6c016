"""Free ports, kept from other runs on this machine until their processes listen on them.

Between choosing a port and listening on it lie seconds in which a second ``relentless up`` would
find it free as well. So a run claims each port by a name that only one process can hold (a Unix
socket in Linux's abstract namespace: no file, gone with its owner).
"""

import errno
import os
import socket
import weakref


class Claims:
    """The ports that a run holds for as long as this object lives."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, host: str, port: int) -> int:
        """Claim a port if it is free, else any that is; 0 is any."""
        while port == 0 or port in self._taken or not _is_free(host, port) or not self._hold(port):
            port = _any_free(host)
        self._taken.add(port)
        return port

    def _hold(self, port: int) -> bool:
        """Say whether nobody else claims a port, and claim it."""
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0relentless-port-{port}")
        except OSError as error:
            name.close()
            return (
                error.errno != errno.EADDRINUSE
            )  # elsewhere than on Linux there are no such names
        weakref.finalize(self, os.close, name.detach())
        return True


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _any_free(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
