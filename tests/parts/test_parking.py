"""Where threads sleep: no wake-up is lost and none is left over, whenever it comes."""

from __future__ import annotations

from functools import partial

import pytest
from making import Bed

from counterpunch.core.places.parking import Parking, Sleeper


def never() -> bool:
    return False


def at_rest(parking: Parking) -> bool:
    """Nobody is published as asleep, or counted as on the way up."""
    return not parking.sleepers and not parking.parked


def test_who_finds_work_at_the_second_look_does_not_sleep() -> None:
    """It was published before it looked, and takes itself back."""
    parking, bed = Parking(), Bed()
    seen = []
    assert parking.park(bed, lambda: seen.append(list(parking.sleepers)) or True)
    assert seen == [[bed.wake]]
    assert bed.asked == []
    assert at_rest(parking)


def test_who_is_woken_says_so() -> None:
    """The one that woke it had taken it out of the sleepers."""
    parking = Parking()
    bed = Bed(lambda: parking.nudge() or True)
    assert parking.park(bed, never)
    assert bed.woken == 1
    assert at_rest(parking)


def test_who_sleeps_out_its_time_says_so() -> None:
    """And takes itself back."""
    parking, bed = Parking(), Bed(False)
    assert not parking.park(bed, never, 5.0)
    assert bed.asked == [(True, 5.0)]
    assert at_rest(parking)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, -1), (-2.0, 0.0), (0.0, 0.0), (1e12, 1_000_000.0)]
)
def test_a_time_that_a_lock_would_misunderstand_is_put_right(
    timeout: float | None, seconds: float
) -> None:
    """-1 is for ever to a lock, and a very long time too much for it."""
    bed = Bed(True)
    Parking().park(bed, never, timeout)
    assert bed.asked == [(True, seconds)]


def test_a_wake_up_as_the_time_runs_out_is_not_lost() -> None:
    """The lock was not to be had in time, but the sleeper was taken out just then: whoever did
    that counts on it. It waits for the wake-up that is in the air, and says that it was woken."""
    parking = Parking()

    def out_of_time() -> bool:
        parking.nudge()
        return False

    bed = Bed(out_of_time, True)
    assert parking.park(bed, never, 5.0)
    assert bed.asked == [(True, 5.0), (True,)]
    assert at_rest(parking)


def test_a_wake_up_during_the_second_look_does_not_end_the_next_sleep() -> None:
    """It is used up although the look found work itself."""
    parking, bed = Parking(), Bed(True)
    assert parking.park(bed, lambda: parking.nudge() or True)
    assert bed.asked == [(True,)]
    assert at_rest(parking)


def test_a_real_bed_is_free_for_the_next_sleep() -> None:
    """The same with the lock of a real sleeper: the next park sleeps out its time."""
    parking, sleeper = Parking(), Sleeper()
    assert parking.park(sleeper, lambda: parking.nudge() or True)
    assert not parking.park(sleeper, never, 0.0)


def test_a_ctrl_c_leaves_nobody_published() -> None:
    """Or a wake-up would go to a thread that has gone."""

    def ctrl_c() -> bool:
        raise KeyboardInterrupt

    parking = Parking()
    with pytest.raises(KeyboardInterrupt):
        parking.park(Bed(ctrl_c), never)
    assert at_rest(parking)


def test_a_ctrl_c_after_the_wake_up_waits_for_no_other() -> None:
    """The lock may have been got before: it is asked for without waiting."""

    def woken_then_ctrl_c() -> bool:
        parking.nudge()
        raise KeyboardInterrupt

    parking, bed = Parking(), Bed(woken_then_ctrl_c, False)
    with pytest.raises(KeyboardInterrupt):
        parking.park(bed, never)
    assert bed.asked[-1] == (False,)
    assert at_rest(parking)


def test_a_nudge_wakes_the_youngest_and_nobody_while_one_gets_up() -> None:
    """Who gets up looks anyway; the next nudge would be one too many."""
    parking, old, young = Parking(), Bed(), Bed()
    for bed in (old, young):
        parking.parked.give()
        parking.sleepers.append(bed.wake)
    parking.nudge()
    parking.nudge()
    assert (old.woken, young.woken) == (0, 1)
    parking.parked.take()  # it is up
    parking.nudge()
    assert old.woken == 1


def test_wake_all_wakes_each_once() -> None:
    """And nobody afterwards."""
    parking, beds = Parking(), [Bed(), Bed(), Bed()]
    parking.sleepers.extend(bed.wake for bed in beds)
    parking.wake_all()
    parking.wake_all()
    assert [bed.woken for bed in beds] == [1, 1, 1]


def test_a_nudge_that_comes_too_late_is_none() -> None:
    """Somebody else was faster; nothing is raised."""
    Parking().nudge()
    parking = Parking()
    with pytest.raises(IndexError):
        parking.wake_one()


def test_wake_all_ends_though_all_lie_down_again_at_once() -> None:
    """Each of those that slept is woken, once."""
    parking, woken = Parking(), list[int]()

    def sleeper(number: int) -> None:
        woken.append(number)
        if len(woken) < 10:
            parking.sleepers.append(partial(sleeper, number))

    parking.sleepers.extend(partial(sleeper, number) for number in range(3))
    parking.wake_all()
    assert woken == [0, 1, 2]
    assert len(parking.sleepers) == 3
