"""A recording as an ``XSpace``, the form that TensorBoard's profile plugin reads. Pure.

One plane, "/host:CPU": a line for each thread with its runs, then as many lines as it takes for the
operations that TensorFlow noted, none of which overlap on a line.
"""

import heapq
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from relentless.serving.model_server.runtime.recording import Run
from relentless.serving.tf_protos import config_pb2, xplane_pb2

HOST_PLANE = "/host:CPU"
_LABEL = re.compile(r" = ([A-Za-z0-9_.>]+)\(")
"""What comes before an operation's inputs in a node's label: "name = MatMul(a, b)"."""


class _Event(NamedTuple):
    begun_ns: int
    ended_ns: int
    name: str
    stats: tuple[tuple[str, str], ...] = ()


def space(runs: Sequence[Run], host: str, begun_ns: int) -> Any:
    """Give the ``XSpace`` of the runs of one host since a moment, ns since the Unix epoch."""
    made = xplane_pb2.XSpace(hostnames=[host])
    plane = _Plane(made.planes.add(id=1, name=HOST_PLANE), begun_ns)
    threads = defaultdict[str, list[_Event]](list)
    operations: list[_Event] = []
    for run in runs:
        stats = ("model", run.model), ("fetches", ",".join(run.fetches))
        threads[run.thread].append(_Event(run.begun_ns, run.ended_ns, "SessionRun", stats))
        operations += _operations(run)
    for thread in sorted(threads):
        plane.line(thread, threads[thread])
    for number, lane in enumerate(_lanes(operations)):
        plane.line(f"operations {number}", lane)
    return made


def _operations(run: Run) -> Iterable[_Event]:
    for device in config_pb2.RunMetadata.FromString(run.metadata).step_stats.dev_stats:
        for node in device.node_stats:
            begun_ns = node.all_start_nanos or node.all_start_micros * 1_000
            length_ns = node.all_end_rel_nanos or node.all_end_rel_micros * 1_000
            kind = _LABEL.search(node.timeline_label)
            name = f"{node.node_name}:{kind[1]}" if kind else node.node_name
            yield _Event(begun_ns, begun_ns + length_ns, name, (("device", device.device),))


def _lanes(events: Iterable[_Event]) -> list[list[_Event]]:
    """Spread events over as few lanes as hold them without an overlap."""
    lanes: list[list[_Event]] = []
    free: list[tuple[int, int]] = []
    for event in sorted(events):
        if free and free[0][0] <= event.begun_ns:
            _, number = heapq.heappop(free)
        else:
            number = len(lanes)
            lanes.append([])
        lanes[number].append(event)
        heapq.heappush(free, (event.ended_ns, number))
    return lanes


class _Plane:
    """A plane that is being filled: names are numbered as they come."""

    def __init__(self, plane: Any, begun_ns: int) -> None:
        self._plane = plane
        self._begun_ns = begun_ns
        self._events: dict[str, int] = {}
        self._stats: dict[str, int] = {}

    def line(self, name: str, events: Sequence[_Event]) -> None:
        """Add a line with its events in order of time."""
        line = self._plane.lines.add(
            id=len(self._plane.lines) + 1, name=name, timestamp_ns=self._begun_ns
        )
        for event in sorted(events):
            entry = line.events.add(
                metadata_id=_number(self._events, self._plane.event_metadata, event.name),
                offset_ps=max(0, event.begun_ns - self._begun_ns) * 1_000,
                duration_ps=max(0, event.ended_ns - event.begun_ns) * 1_000,
            )
            for key, value in event.stats:
                number = _number(self._stats, self._plane.stat_metadata, key)
                entry.stats.add(metadata_id=number, str_value=value)


def _number(known: dict[str, int], metadata: Any, name: str) -> int:
    number = known.setdefault(name, len(known) + 1)
    if number not in metadata:
        metadata[number].id = number
        metadata[number].name = name
    return number
