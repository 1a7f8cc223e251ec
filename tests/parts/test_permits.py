"""Rights that are handed out: each is had by one, whoever comes in between."""

from __future__ import annotations

from making import interrupted

from counterpunch.core.places.permits import Permits


def test_as_many_are_taken_as_there_are() -> None:
    """Then there is none, until one is given."""
    permits = Permits(2)
    assert [permits.take(), permits.take(), permits.take()] == [True, True, False]
    permits.give()
    assert permits.take()


def test_it_is_true_while_one_is_left() -> None:
    """So ``if vacancies:`` is one step."""
    permits = Permits(1)
    assert permits
    permits.take()
    assert not permits


def test_one_is_taken_into_a_hand() -> None:
    """It is in the hand afterwards, and no longer here."""
    permits, hand = Permits(1), []
    assert permits.take_into(hand)
    assert (len(permits), len(hand)) == (0, 1)
    assert not permits.take_into(hand)
    assert len(hand) == 1


def test_what_is_in_the_hand_is_given_back() -> None:
    """After an exception on the way."""
    permits, hand = Permits(1), []
    permits.take_into(hand)
    permits.give_back(hand)
    assert (len(permits), len(hand)) == (1, 0)


def test_a_hand_that_somebody_has_emptied_gives_nothing_back() -> None:
    """A worker took it out as it began; the right is not there twice, though the starter's
    exception comes just then."""
    permits = Permits(1)
    hand = interrupted(list, "pop", lambda: list.pop(hand))
    permits.take_into(hand)
    permits.give_back(hand)
    assert not permits
