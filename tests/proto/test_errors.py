"""The error tree: every class has a code of its own, and the drawing shows every class."""

from relentless.proto import errors
from relentless.proto.errors import RelentlessError


def tree(root: type[RelentlessError]) -> list[type[RelentlessError]]:
    found = [root]
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            found += tree(child)
    return found


def test_every_code_is_of_one_class_and_every_class_is_drawn() -> None:
    every = tree(RelentlessError)
    codes = [kind.code for kind in every]
    assert len(codes) == len(set(codes))
    for kind in every:
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is not in the drawing"


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    retryable = {kind.code for kind in tree(RelentlessError) if kind.retryable}
    assert retryable == {
        "overloaded",
        "deadline_exceeded",
        "unavailable",
        "journal_busy",
        "head_lost",
        "source_unavailable",
        "source_rate_limited",
        "model_unavailable",
    }


def test_a_source_error_names_its_source_and_says_when_to_come_back() -> None:
    error = errors.SourceRateLimited("fred", "too many requests", retry_after=2.5)
    assert str(error) == "fred: too many requests"
    assert (error.source, error.retry_after, error.retryable) == ("fred", 2.5, True)
