"""A daily context as the network's input."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.models.context_vector import (
    CONTEXT_FEATURES,
    CONTEXT_VECTOR,
    LIMIT,
    SCALES,
    standardise,
    vectorise,
)
from relentless.models.fold import EXTRA_FEATURES
from relentless.proto.daily import FLOAT_FEATURES, DailyContext

COUNT = len(CONTEXT_FEATURES)


def context(**fields):
    return DailyContext(
        as_of=datetime(2013, 10, 7, 13, 25, tzinfo=UTC),
        trading_date=date(2013, 10, 7),
        context_id="0" * 64,
        fold_version=1,
        head=0,
        provenance={},
        **fields,
    )


def test_an_empty_context_is_all_zero():
    vector = vectorise(context())
    assert vector.shape == (len(CONTEXT_VECTOR),) and vector.dtype == np.float32
    assert not vector.any()


def test_every_float_of_the_contract_is_in_the_vector_and_the_rest_comes_from_the_fold():
    assert set(FLOAT_FEATURES) <= set(CONTEXT_FEATURES)
    assert set(CONTEXT_FEATURES) <= {*FLOAT_FEATURES, "fed_stance", *EXTRA_FEATURES}
    assert CONTEXT_VECTOR[COUNT:] == tuple(f"{name}_known" for name in CONTEXT_FEATURES)


@given(st.dictionaries(st.sampled_from(CONTEXT_FEATURES), st.floats(-1e6, 1e6)))
def test_each_value_stands_in_its_place_with_its_mask(values):
    values.pop("fed_stance", None)
    fields = {name: value for name, value in values.items() if name in FLOAT_FEATURES}
    extra = {name: value for name, value in values.items() if name not in FLOAT_FEATURES}
    vector = vectorise(context(extra=extra, **fields))
    for index, name in enumerate(CONTEXT_FEATURES):
        known = name in values
        assert vector[COUNT + index] == known
        centre, scale = SCALES[name]
        wanted = np.clip((values[name] - centre) / scale, -LIMIT, LIMIT) if known else 0.0
        assert vector[index] == np.float32(wanted)


@pytest.mark.parametrize(("stance", "value"), [("dovish", -1), ("neutral", 0), ("hawkish", 1)])
def test_the_stance_is_a_number_and_neutral_is_not_unknown(stance, value):
    vector = vectorise(context(fed_stance=stance))
    at = CONTEXT_FEATURES.index("fed_stance")
    assert (vector[at], vector[COUNT + at]) == (value, 1.0)


def test_a_zero_and_a_missing_value_differ():
    zero = {name: scale.centre for name, scale in SCALES.items()}
    assert not standardise(zero)[:COUNT].any()
    assert standardise(zero)[COUNT:].all()
    assert not standardise(dict.fromkeys(CONTEXT_FEATURES)).any()
    assert not standardise(dict.fromkeys(CONTEXT_FEATURES, float("nan"))).any()


def test_names_that_the_vector_does_not_hold_change_nothing():
    assert not vectorise(context(extra={"pending_bill_count": 4888.0})).any()
