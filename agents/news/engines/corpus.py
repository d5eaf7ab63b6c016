"""The offline engine's training texts: written here, or made from templates written here. Pure.

The folder ``corpus`` holds headlines and sentences by label and the templates. Where a template
compares figures its label is worked out from them. The same seed gives the same texts.
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


_GOOD: Final = "net sales|operating profit|net profit|pretax profit|revenue|turnover|earnings|EBITDA|profit|order intake|operating margin|sales|cash flow from operations|net interest income|like-for-like sales|net income|the gross margin|exports|deliveries|passenger numbers|quarterly profit|pre-tax profit|orders received|profit after tax|adjusted EBIT|market share|underlying earnings|subscriber numbers|production".split(
    "|"
)
_BAD: Final = "net loss|operating loss|operating costs|credit losses|net debt|expenses|unit costs|pretax loss|loan losses|raw material costs|the number of complaints|fuel costs|quarterly loss|impairment charges|interest expenses|staff turnover costs|loss before taxes".split(
    "|"
)
_HEADS: Final = "Nordvik Arden Belcor Castellan Dunmore Elvara Fennica Galt Harrow Isotek Jarvin Kelso Lindo Marwick Novatek Ostara Pelham Quarrie Rautala Selwyn Tavast Ulmer Varga Westport Yarrow Zephyr Brightwater Coldstream Marlin Korpela Haldane Trellis Orbital Summit Cobalt Meridian Sable Vesper".split()
_TAILS: Final = [
    "",
    "",
    "",
    "",
    " Group",
    " Oyj",
    " plc",
    " Inc",
    " Corp",
    " AB",
    " Energy",
    " Foods",
    " Bank",
    " Pharma",
    " Motors",
    " Systems",
    " Holdings",
    " Airlines",
    " Steel",
    " Telecom",
    " Retail",
]
_COUNTRIES: Final = "Finland Sweden China India Brazil Germany Poland Russia Canada Mexico Norway Estonia France Spain Turkey Japan".split()
_SLOTS: Final = {
    "city": "Helsinki|Oslo|Leeds|Boston|Tampere|Lyon|Hamburg|Gdansk|Pune|Austin|Dallas|Malmo|Turku|Ohio|Derby|Seville".split("|"),
    "country": _COUNTRIES,
    "customer": "a Chinese utility|the Swedish navy|a leading carmaker|a Brazilian miner|the city of Oslo|an American hospital chain|a Gulf airline|the health ministry|a German railway|Tavast Power|Dunmore Stores|the US Army".split("|"),
    "product": "pumps|engines|paper machines|cancer drug|smartphones|software|elevators|forklifts|battery packs|frozen food|tractors|insulin pens|security systems|turbines|routers|ships|shoes|data centres|sensors|bank cards|buses|loans".split("|"),
    "fault": "misleading investors|price fixing|safety failures|data breach|bribery|accounting fraud|pollution|defective brakes|mis-selling insurance|patent infringement|tax evasion|overcharging|insider trading|toxic waste".split("|"),
    "regulator": "SEC|FDA|EU|The competition authority|Justice Department|U.S. regulator|Brussels|The financial watchdog|FTC|Prosecutors".split("|"),
    "broker": "Brookline|Halvorsen Securities|Merton Capital|Ashby|Lakeview|Northgate|Corwin & Hale".split("|"),
    "person": "Anna Lindholm|Peter Hale|Maria Okafor|Jussi Rinne|Carla Mendes|Tom Whitby|Sven Aker|Priya Nair".split("|"),
    "reason": "demand|fuel prices|exchange rates|weather|new products|the euro|store openings|orders from China|divestments".split("|"),
    "goodreason": "strong results|contract win|takeover interest|record sales|trial success|upbeat outlook|lower costs|rising demand|profit beat|approval of its drug|cheap fuel".split("|"),
    "badreason": "weak results|contract loss|profit warning|falling sales|trial failure|gloomy outlook|higher costs|weak demand|profit miss|rejection of its drug|accounting concerns|supply chain woes|a strike|tariffs".split("|"),
    "segment": "packaging|consumer|retail|wireless|machinery|insurance|logistics|energy|software|mining|forest|health care".split("|"),
    "industry": "construction|telecom|shipping|engineering|food|chemical|media|travel|paper|biotech".split("|"),
    "weekday": "Monday|Tuesday|Wednesday|Thursday|Friday".split("|"),
    "period": "the first quarter|the second quarter|the third quarter|the fourth quarter|Q1|Q3|January-September|the first half|2009|the period|the quarter|the financial year|H1|the six months to June".split("|"),
    "nextperiod": "2012|the second half|the coming year|the next quarter|fiscal 2015".split("|"),
    "lastperiod": "a year earlier|a year ago|in the same period of 2008|in the corresponding period last year|the year before|in the previous quarter|in 2006|in the comparison period|last year|in the third quarter of 2005".split("|"),
    "lastperiodnoun": "2008|the previous year|last year|2011|the year before".split("|"),
    "date": "1 March|August 9|14 October|24 May|June 2|20 January".split("|"),
    "goodmacro": "inflation cools|job growth beats forecasts|trade deal reached|Fed hints at rate cut|consumer confidence rises|factory orders rebound|earnings top estimates|GDP growth accelerates|unemployment falls|lawmakers reach budget deal|housing starts jump|oil price shock fades".split("|"),
    "badmacro": "inflation accelerates|job growth disappoints|trade talks collapse|Fed warns of higher rates|consumer confidence falls|factory orders slump|earnings disappoint|GDP contracts|unemployment rises|budget talks fail|housing starts plunge|recession fears grow|default looms".split("|"),
}  # fmt: skip
_UP: Final = {
    "moved": "rose|increased|grew|climbed|went up|jumped|was up|advanced|surged".split("|"),
    "moves": "rises|up|climbs|jumps|grows|increases|soars".split("|"),
    "move": "rise|increase|grow|climb|go up".split("|"),
    "moving": "rising|growing|increasing|climbing".split("|"),
    "moved2": "risen|grown|increased|climbed".split("|"),
    "a_move": "a rise|an increase|a jump|growth|a gain".split("|"),
    "higher": "higher|rising|increased|growing|bigger".split("|"),
    "updown": ["up"],
}  # fmt: skip
_DOWN: Final = {
    "moved": "fell|decreased|declined|dropped|went down|slumped|was down|slipped|plunged|shrank".split("|"),
    "moves": "falls|down|drops|slides|shrinks|declines|slumps".split("|"),
    "move": "fall|decrease|decline|drop|go down".split("|"),
    "moving": "falling|shrinking|decreasing|declining".split("|"),
    "moved2": "fallen|shrunk|decreased|declined".split("|"),
    "a_move": "a fall|a decrease|a drop|a decline|a slide".split("|"),
    "higher": "lower|falling|reduced|shrinking|smaller".split("|"),
    "updown": ["down"],
}  # fmt: skip
_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")


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
    shape = chance.choice(
        [
            "EUR {} mn",
            "EUR {} million",
            "EUR{}m",
            "${} million",
            "${} billion",
            "{} mln euros",
            "USD {} mn",
            "SEK {} million",
            "£{}m",
            "{} million euros",
            "{} percent",
            "{}%",
            "{}",
        ]
    )
    digits = chance.choice([0, 1, 1, 2])
    small, big = (f"{value:.{digits}f}" for value in (low, high))
    if small == big:
        small, big = f"{low:.3f}", f"{high:.3f}"
    money = shape if shape not in ("{} percent", "{}%", "{}") else "EUR {} mn"
    metric = chance.choice(_GOOD if good else _BAD)
    new, old = (big, small) if up else (small, big)
    brief = shape == "EUR {} mn" and chance.random() < 0.3
    price = chance.randrange(8, 300)
    return {
        "metric": metric,
        "metric2": metric,
        "new": shape.format(new),
        "old": old if brief else shape.format(old),
        "small": money.format(small),
        "big": money.format(big),
        "hiprice": f"${price + chance.randrange(1, 1 + price // 2)}",
        "loprice": f"${price}",
        **{key: chance.choice(wordings) for key, wordings in (_UP if up else _DOWN).items()},
    }


def _value(slot: str, values: dict[str, str], chance: random.Random) -> str:
    """Give a slot's text; a capital slot begins with a capital."""
    key = slot.lower()
    if key in values:
        text = values[key]
    elif key in ("company", "rival"):
        return chance.choice(_HEADS) + chance.choice(_TAILS)
    elif key == "pct":
        text = f"{chance.choice([chance.uniform(1, 9), chance.uniform(10, 60)]):.{chance.choice([0, 1])}f}{chance.choice(['%', ' percent', ' pct', ' per cent'])}"
    elif key in ("count", "count2"):
        text = f"{chance.choice([12, 30, 65, 120, 250, 400, 900, 1500, 3000, 12000]):,}"
    elif key == "amt":
        text = chance.choice(
            [
                "EUR {} million",
                "${}m",
                "${} billion",
                "£{}m",
                "EUR {} mn",
                "${} mln",
                "SEK {} million",
            ]
        ).format(chance.choice([2, 3.5, 7, 12, 18.4, 40, 95, 220, 600]))
    else:
        text = chance.choice(_SLOTS[key])
    return text[0].upper() + text[1:] if slot[0].isupper() else text
