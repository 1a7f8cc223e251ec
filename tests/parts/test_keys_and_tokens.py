"""One job for each identity; and which running jobs are to stop."""

from __future__ import annotations

from making import call, lane, meanwhile

from counterpunch.core.places.keys import Key, Keys
from counterpunch.core.places.tokens import Tokens
from counterpunch.core.values.handle import Call


def named(key: str, of: object = None) -> Call:
    """A job with an identity."""
    made = call(of or lane())
    made.extra().key, made.extra().name = (key,), Key(made.job, (key,))
    return made


def test_the_first_to_claim_a_key_has_it() -> None:
    """The second is told who."""
    one = lane()
    first, second, keys = named("a", one), named("a", one), Keys()
    assert keys.claim(first) is first
    assert keys.claim(second) is first
    assert keys.holder(Key(one.job, ("a",))) is first


def test_another_class_or_another_key_is_free() -> None:
    """A key is of one class."""
    one, keys = lane(), Keys()
    for each in (named("a", one), named("b", one), named("a")):
        assert keys.claim(each) is each


def test_a_freed_key_is_free() -> None:
    """For the next one."""
    one, keys = lane(), Keys()
    first, second = named("a", one), named("a", one)
    keys.claim(first)
    keys.free(first)
    assert keys.claim(second) is second


def test_nobody_frees_another_ones_key() -> None:
    """One that has none at all frees nothing either."""
    one, keys = lane(), Keys()
    first, second = named("a", one), named("a", one)
    keys.claim(first)
    keys.free(second)
    keys.free(call(one))
    assert keys.holder(Key(one.job, ("a",))) is first


def test_a_key_freed_twice_at_once_is_no_error() -> None:
    """Somebody comes in between the look and the pop."""
    keys, first = Keys(), named("a")
    meanwhile(keys, "table", "leaves", lambda: keys.table.clear())
    keys.claim(first)
    keys.free(first)
    assert keys.table == {}


def test_a_job_that_waits_again_takes_its_key_unless_it_is_taken() -> None:
    """A retry, of a class that is unique among the queued ones only."""
    one, keys = lane(), Keys()
    first, second = named("a", one), named("a", one)
    keys.retake(first)
    keys.retake(second)
    keys.retake(call(one))
    assert keys.table == {(Key(one.job, ("a",)),): first}


def test_a_deferred_job_has_its_key_within_its_transaction_only() -> None:
    """So it is in nobody's way outside of it."""
    one, keys = lane(), Keys()
    first, second = named("a", one), named("a", one)
    first.extra().scope = ("transaction",)
    assert keys.claim(first) is first
    assert keys.claim(second) is second
    assert keys.holder(Key(one.job, ("a",)), ("transaction",)) is first


class Forgetful:
    """Cannot be hashed any more once it was deleted, as an instance of an ORM."""

    deleted = False

    def __hash__(self) -> int:
        if self.deleted:
            raise TypeError("unhashable")
        return 1

    def __eq__(self, other: object) -> bool:
        if self.deleted:
            raise TypeError("deleted")
        return self is other


def test_an_identity_is_hashed_once() -> None:
    """What becomes of the user's object later keeps no key."""
    user, keys, first = Forgetful(), Keys(), call(lane())
    first.extra().key, first.extra().name = (user,), Key(first.job, (user,))
    assert keys.claim(first) is first
    user.deleted = True
    keys.free(first)
    assert keys.table == {}


def test_an_identity_that_cannot_be_compared_costs_no_attempt() -> None:
    """A job that waits again goes on without its key."""
    user, other, keys, one = Forgetful(), Forgetful(), Keys(), lane()
    first, second = call(one), call(one)
    first.extra().name, second.extra().name = Key(one.job, (user,)), Key(one.job, (other,))
    keys.claim(first)
    user.deleted = other.deleted = True
    keys.retake(second)
    assert list(keys.table.values()) == [first]


def test_a_token_stands_for_a_cancel_and_for_an_overrun() -> None:
    """Either is a request to stop."""
    tokens, one = Tokens(), lane()
    cancelled, late, fine = call(one), call(one), call(one)
    tokens.cancels.add(cancelled)
    tokens.overruns.add(late)
    assert [tokens.requested(each) for each in (cancelled, late, fine)] == [True, True, False]


def test_a_job_that_has_ended_has_no_token() -> None:
    """Of neither kind; others keep theirs."""
    tokens, one = Tokens(), lane()
    ended, other = call(one), call(one)
    tokens.cancels |= {ended, other}
    tokens.overruns |= {ended}
    tokens.drop(ended)
    assert (tokens.cancels, tokens.overruns) == ({other}, set())
    tokens.drop(ended)


def test_a_job_asks_for_its_own_token() -> None:
    """Through its lane."""
    one = lane()
    made = call(one)
    assert not made.cancel_requested()
    one.tokens.cancels.add(made)
    assert made.cancel_requested()
