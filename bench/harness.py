"""How everything here is measured and told.

A measurement stands beside a reference that was measured in the same run, in alternating rounds, so
that a slow machine slows both. Figures are p50 and p99 over all rounds; the ratio is the claim.
"""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: float
    unit: str
    p99: float | None = None
    reference: str = ""
    reference_value: float | None = None
    reference_p99: float | None = None
    note: str = ""

    @classmethod
    def of(
        cls,
        what: str,
        samples: Sequence[float],
        unit: str,
        reference: str = "",
        against: Sequence[float] = (),
        note: str = "",
        *,
        per: float = 1.0,
    ) -> "Figure":
        """Give p50 and p99 of samples and of a reference, both divided by ``per``."""
        return cls(
            what,
            percentile(samples, 0.5) / per,
            unit,
            percentile(samples, 0.99) / per,
            reference,
            percentile(against, 0.5) / per if against else None,
            percentile(against, 0.99) / per if against else None,
            note,
        )

    @property
    def ratio(self) -> float | None:
        """Value over reference."""
        return self.value / self.reference_value if self.reference_value else None

    @property
    def ratio_p99(self) -> float | None:
        """The same of the p99."""
        if self.p99 is None or not self.reference_p99:
            return None
        return self.p99 / self.reference_p99


@dataclass
class Section:
    """One table: what was measured and how to read it."""

    name: str
    reading: str
    figures: list[Figure] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    """Latency samples in microseconds, for the plot."""


def percentile(samples: Sequence[float], share: float) -> float:
    """Give the nearest-rank percentile; ``share`` in (0, 1].

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Call ``count`` times and give the microseconds of each."""
    samples = []
    for _ in range(count):
        begun = time.perf_counter_ns()
        call()
        samples.append((time.perf_counter_ns() - begun) / 1e3)
    return samples


def alternate(
    first: Callable[[], list[float]], second: Callable[[], list[float]], rounds: int
) -> tuple[list[float], list[float]]:
    """Run two measurements in turn and give all samples of each."""
    one: list[float] = []
    two: list[float] = []
    for at in range(rounds):
        for which in (0, 1) if at % 2 == 0 else (1, 0):
            (one if which == 0 else two).extend(first() if which == 0 else second())
    return one, two


def machine() -> dict[str, str]:
    """Describe the machine that measured."""
    model = "unknown"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        memory = Path("/proc/meminfo").read_text().split()[1]
    except OSError:
        memory = "0"
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "memory_gib": f"{int(memory) / 2**20:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def write(sections: Sequence[Section]) -> None:
    """Write ``results.json``, ``RESULTS.md`` and ``latency.png`` beside this file."""
    host = machine()
    (HERE / "results.json").write_text(
        json.dumps(
            {
                "machine": host,
                "sections": [asdict(section) | {"series": {}} for section in sections],
            },
            indent=1,
        )
        + "\n"
    )
    (HERE / "RESULTS.md").write_text(_table(host, sections))
    _plot(sections)


def _table(host: dict[str, str], sections: Sequence[Section]) -> str:
    lines = [
        "# Results",
        "",
        "Written by `make bench`. Each figure stands beside a reference measured in the same run; "
        "read the ratios.",
        "",
        ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in host.items()),
        "",
    ]
    for section in sections:
        lines += [f"## {section.name}", "", section.reading, ""]
        lines += ["| what | p50 or value | p99 | reference | ratio p50 | ratio p99 | note |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_row(figure) for figure in section.figures]
        lines += [""]
    if any(section.series for section in sections):
        lines += ["![latency](latency.png)", ""]
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    def text(value: float | None, unit: str = "") -> str:
        if value is None:
            return ""
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return f"{shown} {unit}".strip()

    reference = figure.reference
    if figure.reference_value is not None:
        reference += f": {text(figure.reference_value, figure.unit)}"
        if figure.reference_p99 is not None:
            reference += f" (p99 {text(figure.reference_p99)})"
    cells = [
        figure.what,
        text(figure.value, figure.unit),
        text(figure.p99, figure.unit),
        reference,
        f"{figure.ratio:.2f}x" if figure.ratio is not None else "",
        f"{figure.ratio_p99:.2f}x" if figure.ratio_p99 is not None else "",
        figure.note,
    ]
    return "| " + " | ".join(cells) + " |"


def _plot(sections: Sequence[Section]) -> None:
    series = {
        name: samples for section in sections for name, samples in section.series.items() if samples
    }
    if not series:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    for name, samples in series.items():
        ordered = sorted(samples)
        shares = [(at + 0.5) / len(ordered) for at in range(len(ordered))]
        axes.plot(ordered, shares, label=name, linewidth=1.5)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds")
    axes.set_ylabel("share of ticks answered within")
    axes.set_title("Latency in one run, beside its references")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(HERE / "latency.png")
    pyplot.close(figure)
