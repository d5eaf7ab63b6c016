"""``python -m bench [NAME...]``: measure, and write the table and the plot."""

import logging
import sys
import time
from collections.abc import Callable

from bench import agents, context, journal, model_server, processes, publish, steady, ticks
from bench.harness import Section, write
from relentless.configs.process import configure_logging

SECTIONS: dict[str, Callable[[], Section]] = {
    "closed-loop": ticks.closed_loop,
    "open-loop": ticks.open_loop,
    "peak": ticks.peak,
    "steady": steady.section,
    "model-server": processes.model_server,
    "batching": model_server.batching,
    "publish": publish.section,
    "journal": journal.section,
    "context": context.section,
    "parsers": agents.parse_speed,
    "morning": agents.morning,
    "messages": agents.volume,
    "startup": processes.startup,
}


def main() -> None:
    """Run the named sections, or all of them; only a whole run is written."""
    configure_logging("bench", logging.ERROR)
    names = sys.argv[1:] or list(SECTIONS)
    if unknown := set(names) - set(SECTIONS):
        sys.exit(f"no such section: {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    done = []
    for name in names:
        begun = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        section = SECTIONS[name]()
        print(f"{time.monotonic() - begun:.0f} s")
        for figure in section.figures:
            beside = f"  {figure.ratio:.2f}x of {figure.reference}" if figure.ratio else ""
            p99 = f"  p99 {figure.p99:,.3g}" if figure.p99 is not None else ""
            print(f"  {figure.what}: {figure.value:,.3g} {figure.unit}{p99}{beside}  {figure.note}")
        done.append(section)
    if len(done) == len(SECTIONS):
        write(done)
        print("written: bench/RESULTS.md, bench/results.json, bench/latency.png")


if __name__ == "__main__":
    main()
