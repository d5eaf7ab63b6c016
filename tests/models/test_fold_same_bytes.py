"""P4: the same messages give the same bytes, in any order, in any process."""

import hashlib
import json
import os
import random
import subprocess
import sys

import pytest

from relentless.proto.contexts import Topic

from .fold_messages import bill, full_rates, numbered, rate, say

STAGES = ("introduced", "reported", "passed_house", "passed_senate", "passed_both", "law")
SECTORS = ("Energy", "Financials", "Health Care", "Industrials", "Utilities")

CHILD = """
import hashlib, json, sys
from datetime import date, datetime
from relentless.configs.freshness import load
from relentless.models.fold import fold
from relentless.proto.messages import ContextMessage
said = json.load(sys.stdin)
messages = [(n, ContextMessage.parse(m)) for n, m in said["messages"]]
context = fold(messages, as_of=datetime.fromisoformat(said["as_of"]),
               trading_date=date(2013, 10, 7), head=said["head"], rules=load())
print(hashlib.sha256(context.canonical_bytes()).hexdigest())
"""


def a_busy_day(seed=7, bills=120):
    """Write some hundred messages on every topic, many about the same thing."""
    chance = random.Random(seed)
    messages = full_rates()
    for _ in range(bills):
        sectors = chance.sample(SECTORS, chance.randint(0, 3))
        day = f"2013-{chance.randint(5, 9):02}-{chance.randint(1, 30):02}"
        stage, number = chance.choice(STAGES), chance.randint(1, bills)
        messages.append(
            bill(number, stage, latest_action_date=day, sectors_affected=sectors, known_h=number)
        )
    for n in range(60):
        symbol, score = chance.choice(("IBM", "SPY", "XLF")), chance.uniform(-1, 1)
        story = {"asset": symbol, "score": score, "sentiment": "neutral", "confidence": 0.5}
        story |= {"summary": "café", "story_id": str(n % 20)}
        messages.append(say(Topic.NEWS, story, known_h=chance.uniform(0, 50)))
        flow = {"symbol": symbol, "score": score}
        messages.append(say(Topic.OPTIONS_FLOW, flow, known_h=chance.uniform(0, 50)))
        messages.append(rate("DFF", chance.uniform(0, 5), known_h=chance.uniform(0, 80)))
    report = {"symbol": "IBM", "report_date": "2013-10-16", "when": "after_close"}
    messages.append(say(Topic.EARNINGS_CALENDAR, report))
    release = {"event": "FOMC minutes", "release_at": "2013-10-09T14:00:00-04:00"}
    messages.append(say(Topic.ECONOMIC_CALENDAR, release))
    return numbered(messages)


@pytest.mark.promise("P4")
def test_the_order_in_which_messages_are_read_makes_no_difference(folded, soak):
    messages = a_busy_day()
    wanted = folded(messages).canonical_bytes()
    chance = random.Random(11)
    for _ in range(200 if soak else 20):
        chance.shuffle(messages)
        assert folded(messages).canonical_bytes() == wanted


@pytest.mark.promise("P4")
def test_processes_with_other_hash_seeds_give_the_same_bytes(folded, soak):
    messages = a_busy_day()
    context = folded(messages, head=len(messages))
    wanted = hashlib.sha256(context.canonical_bytes()).hexdigest()
    said = json.dumps(
        {
            "messages": [(n, m.model_dump(mode="json", exclude_unset=True)) for n, m in messages],
            "as_of": context.as_of.isoformat(),
            "head": len(messages),
        }
    )
    chance = random.Random(13)
    for _ in range(20 if soak else 4):
        seed = str(chance.randrange(2**32))
        child = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=said,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert child.stdout.strip() == wanted, f"PYTHONHASHSEED={seed}"


@pytest.mark.promise("P4")
def test_the_bytes_are_pinned(folded):
    """A change here is a change of what contexts say: raise FOLD_VERSION with it."""
    digest = hashlib.sha256(folded(a_busy_day()).canonical_bytes()).hexdigest()
    assert digest == "3ba077d064d48a3d34e57590174bd2c2be784569e699e081f2a586903996d50a"
