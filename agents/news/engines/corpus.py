"""The offline engine's training texts: written here, or made from templates written here. Pure.

The folder ``corpus`` holds headlines and sentences by label and the templates. Where a template
compares figures its label is worked out from them. The same seed gives the same texts.
"""

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("corpus")
LABELS: Final = {"-": 0, "=": 1, "+": 2}
SEED: Final = 20131007
EACH: Final = 12
"""Texts of a template; four times as many where its label is worked out."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its label."""

    text: str
    label: int
    """0 bad news, 1 neither, 2 good news."""
    group: str
    """Texts of one origin: they are held out together."""


_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_COUNTS: Final = (12, 30, 65, 120, 250, 400, 900, 1_500, 3_000, 12_000)
_AMOUNTS: Final = (2, 3.5, 7, 12, 18.4, 40, 95, 220, 600)


@cache
def _slots() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "slots.toml").read_text(encoding="utf-8"))


def examples(seed: int = SEED) -> list[Example]:
    """Give every training text; the order is of the files."""
    chance = random.Random(seed)  # noqa: S311 - texts, no secrets
    made = [
        Example(line, label, f"free:{number // 5}")
        for name, label in (("negative", 0), ("neutral", 1), ("positive", 2))
        for number, line in enumerate(_lines(f"{name}.txt"))
    ]
    seen = {example.text for example in made}
    for template in _lines("templates.txt"):
        kind, body = template[0], template[1:]
        for _ in range(EACH * 4 if kind == "^" else EACH):
            text, label = _filled(kind, body, chance)
            if text not in seen:
                seen.add(text)
                made.append(Example(text, label, template))
    return made


def _lines(name: str) -> list[str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _filled(kind: str, body: str, chance: random.Random) -> tuple[str, int]:
    """Fill one template; give the text and its label."""
    text = body
    while (choice := _CHOICE.search(text)) is not None:
        text = text[: choice.start()] + chance.choice(choice[1].split("|")) + text[choice.end() :]
    up = chance.random() < 0.5
    good = chance.random() < 0.6
    values = _values(up, good, chance)
    text = _SLOT.sub(lambda slot: _value(slot[1], values, chance), text)
    text = text.replace("TICK", "".join(chance.choices("ABCDEFGHKLMNPRSTVX", k=4)))
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").replace(" .", ".").strip()
    label = LABELS[kind] if kind != "^" else (2 if up == good else 0)
    return text[0].upper() + text[1:] if text[0] != "$" else text, label


def _values(up: bool, good: bool, chance: random.Random) -> dict[str, str]:
    """Draw what must fit together: the metric, the direction and the figures."""
    low = chance.choice([chance.uniform(0.2, 9), chance.uniform(10, 99), chance.uniform(100, 900)])
    high = low * chance.choice([chance.uniform(1.04, 1.4), chance.uniform(1.4, 3)])
    shape = chance.choice(_slots()["slots"]["figure"])
    digits = chance.choice([0, 1, 1, 2])
    small, big = (f"{value:.{digits}f}" for value in (low, high))
    if small == big:
        small, big = f"{low:.3f}", f"{high:.3f}"
    money = shape if shape not in ("{} percent", "{}%", "{}") else "EUR {} mn"
    metric = chance.choice(_slots()["metrics"]["good" if good else "bad"])
    new, old = (big, small) if up else (small, big)
    brief = shape == "EUR {} mn" and chance.random() < 0.3
    price = chance.randrange(8, 300)
    moves = _slots()["moves"]["up" if up else "down"]
    return {
        "metric": metric,
        "metric2": metric,
        "new": shape.format(new),
        "old": old if brief else shape.format(old),
        "small": money.format(small),
        "big": money.format(big),
        "hiprice": f"${price + chance.randrange(1, 1 + price // 2)}",
        "loprice": f"${price}",
        **{key: chance.choice(wordings) for key, wordings in moves.items()},
    }


def _value(slot: str, values: dict[str, str], chance: random.Random) -> str:
    """Give a slot's text; a capital slot begins with a capital."""
    key, slots = slot.lower(), _slots()["slots"]
    if key in values:
        text = values[key]
    elif key in ("company", "rival"):
        names = _slots()["names"]
        return str(chance.choice(names["heads"]) + chance.choice(names["tails"]))
    elif key == "pct":
        share = chance.choice([chance.uniform(1, 9), chance.uniform(10, 60)])
        text = chance.choice(slots["pct"]).format(f"{share:.{chance.choice([0, 1])}f}")
    elif key in ("count", "count2"):
        text = f"{chance.choice(_COUNTS):,}"
    elif key == "amt":
        text = chance.choice(slots["amt"]).format(chance.choice(_AMOUNTS))
    else:
        text = chance.choice(slots[key])
    return str(text[0].upper() + text[1:] if slot[0].isupper() else text)
