"""SQLAlchemy: jobs after a session's outermost commit, and sessions removed around jobs."""

# ruff: noqa: E402  (nothing of it is imported where SQLAlchemy is missing)

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sqlalchemy = pytest.importorskip("sqlalchemy")

from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session
from sqlalchemy.orm import sessionmaker as make_sessionmaker

import counterpunch
from counterpunch import Handle, InvalidOption, Job, Retry, Status, testing
from counterpunch.integrations.sqlalchemy import remove_around_jobs

LONG = 10.0


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class FindJob(Job):
    """Looks for a user on a connection of its own: sees what is committed."""

    def perform(self, engine: Any, name: str = "ada") -> bool:
        with Session(engine) as session:
            return session.scalar(select(User).where(User.name == name)) is not None


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def using(session: Any) -> Callable[..., Handle[bool]]:
    enqueue: Callable[..., Handle[bool]] = FindJob.using(after_commit=session).perform_async
    return enqueue


def test_a_job_is_enqueued_after_the_commit_and_sees_its_rows(engine: Any) -> None:
    with Session(engine) as session:
        session.add(User(name="ada"))
        handle = using(session)(engine)
        assert handle.status is Status.DEFERRED
        session.flush()
        assert handle.status is Status.DEFERRED
        session.commit()
        assert handle.result(LONG) is True


def test_a_rollback_drops_it_and_the_next_transaction_is_another(engine: Any) -> None:
    with Session(engine) as session:
        session.add(User(name="ada"))
        dropped = using(session)(engine)
        session.rollback()
        assert dropped.status is Status.DISCARDED
        assert dropped.error == "its transaction was rolled back"
        session.add(User(name="ada"))
        kept = using(session)(engine)
        session.commit()
        assert kept.result(LONG) is True


@pytest.mark.parametrize("leave", ["close", "expire and close", "reset", "invalidate"])
def test_a_session_left_without_a_commit_drops_it(engine: Any, leave: str) -> None:
    session = Session(engine)
    if not hasattr(session, leave.split()[-1]):
        pytest.skip("reset() came with SQLAlchemy 2.0.22")
    session.execute(text("SELECT 1"))
    handle = using(session)(engine)
    if leave == "expire and close":
        session.expire_all()
    getattr(session, leave.split()[-1])()
    assert handle.status is Status.DISCARDED


def test_a_session_that_is_forgotten_drops_it_when_it_is_collected(engine: Any) -> None:
    session = Session(engine)
    session.execute(text("SELECT 1"))
    handle = using(session)(engine)
    del session
    gc.collect()
    assert handle.status is Status.DISCARDED


def test_a_flush_that_fails_drops_it(engine: Any) -> None:
    with Session(engine) as session:
        session.add_all([User(name="ada"), User(name="ada")])
        handle = using(session)(engine)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            session.commit()
        session.rollback()
        assert handle.status is Status.DISCARDED


def test_savepoints_are_respected(engine: Any) -> None:
    with Session(engine) as session:
        session.add(User(name="ada"))
        outer = using(session)(engine)
        savepoint = session.begin_nested()
        dropped = using(session)(engine)
        with session.begin_nested():
            inner = using(session)(engine)
        assert inner.status is Status.DEFERRED, "released into a savepoint that is still open"
        savepoint.rollback()
        assert (dropped.status, inner.status) == (Status.DISCARDED, Status.DISCARDED)
        with session.begin_nested():
            released = using(session)(engine)
        assert (outer.status, released.status) == (Status.DEFERRED, Status.DEFERRED)
        session.commit()
        assert outer.result(LONG) is released.result(LONG) is True


class OneFindJob(FindJob):
    unique = "queued"

    @staticmethod
    def identity(engine: Any, name: str = "ada") -> str:
        return name


def test_a_unique_job_is_in_the_way_of_those_that_share_its_fate(engine: Any) -> None:
    """Of its own transaction and of savepoints within it; not of what encloses its savepoint,
    of another session, of the next transaction, or of no transaction at all."""
    with testing.fake() as recorder, Session(engine) as session, Session(engine) as other:
        for one in (session, other):
            one.execute(text("SELECT 1"))
        using = OneFindJob.using(after_commit=session).perform_async
        outer = using(engine)
        savepoint = session.begin_nested()
        assert using(engine) is outer
        dropped = using(engine, "bob")
        savepoint.rollback()
        kept = using(engine, "bob")
        assert dropped.status is Status.DISCARDED
        stranger = OneFindJob.using(after_commit=other).perform_async(engine)
        assert len({outer, kept, stranger}) == 3
        session.rollback()
        session.execute(text("SELECT 1"))
        again = using(engine)
        assert (outer.status, again.status) == (Status.DISCARDED, Status.DEFERRED)
        plain = OneFindJob.perform_async(engine)
        assert (stranger.status, plain.status) == (Status.DEFERRED, Status.QUEUED)
        session.commit()
        assert again.error == f"a duplicate of {plain.id}"
        assert recorder.drain() == 1
        other.commit()
        assert stranger.status is Status.QUEUED


def test_a_unique_job_keeps_no_session_alive(engine: Any) -> None:
    """The session is collected all the same, and drops it."""
    session = Session(engine)
    session.execute(text("SELECT 1"))
    handle = OneFindJob.using(after_commit=session).perform_async(engine)
    assert handle.status is Status.DEFERRED
    del session
    gc.collect()
    assert handle.status is Status.DISCARDED


def test_a_commit_of_the_root_takes_open_savepoints_along(engine: Any) -> None:
    with Session(engine) as session:
        session.add(User(name="ada"))
        session.begin_nested()
        handle = using(session)(engine)
        session.get_transaction().commit()
        assert handle.result(LONG) is True


def test_a_rollback_of_the_root_takes_open_savepoints_along(engine: Any) -> None:
    with Session(engine) as session:
        session.begin()
        session.begin_nested()
        handle = using(session)(engine)
        session.get_transaction().rollback()
        assert handle.status is Status.DISCARDED


def test_begin_blocks(engine: Any) -> None:
    with make_sessionmaker(engine).begin() as session:
        session.add(User(name="ada"))
        handle = using(session)(engine)
        assert handle.status is Status.DEFERRED
    assert handle.result(LONG) is True


def test_a_session_that_has_not_begun_begins(engine: Any) -> None:
    """What is added afterwards is committed with the job, or rolled back with it."""
    with Session(engine) as session:
        handle = using(session)(engine)
        assert handle.status is Status.DEFERRED
        session.add(User(name="ada"))
        session.commit()
        assert handle.result(LONG) is True
        dropped = using(session)(engine)
        session.add(User(name="bob"))
        session.rollback()
        assert dropped.status is Status.DISCARDED
        explicit = using(session)(engine)
        session.commit()
        assert explicit.result(LONG) is True, "a commit of nothing is one"
    left = using(session)(engine)
    session.close()
    assert left.status is Status.DISCARDED


def test_a_session_that_begins_by_hand_is_begun(engine: Any) -> None:
    with Session(engine, autobegin=False) as session:
        handle = using(session)(engine)
        session.add(User(name="ada"))
        session.commit()
        assert handle.result(LONG) is True


def test_every_job_of_a_commit_is_enqueued_also_if_one_of_them_raises(engine: Any) -> None:
    """As under ``inline()``, where a job's own exception comes out of the commit."""

    class BrokenJob(Job):
        def perform(self, word: str) -> None:
            raise ValueError(word)

    with Session(engine) as session, testing.inline():
        session.add(User(name="ada"))
        broken = BrokenJob.using(after_commit=session)
        handles: list[Handle[Any]] = [broken.perform_async("first")]
        handles += [using(session)(engine), broken.perform_async("last")]
        with pytest.raises(ValueError, match="first"):
            session.commit()
        statuses = [handle.status for handle in handles]
        assert statuses == [Status.FAILED, Status.SUCCEEDED, Status.FAILED]


def test_a_session_joined_to_an_outer_transaction_as_in_tests(engine: Any) -> None:
    """SQLAlchemy's recipe for test suites: the session's commit is a savepoint of a
    transaction that is rolled back in the end. It counts as a commit."""
    with engine.connect() as connection:
        outer = connection.begin()
        session = Session(connection, join_transaction_mode="create_savepoint")
        session.add(User(name="ada"))
        handle = using(session)(engine)
        assert handle.status is Status.DEFERRED
        session.commit()
        assert handle.status is not Status.DEFERRED
        handle.result(LONG)
        session.close()
        outer.rollback()


def test_scoped_session(engine: Any) -> None:
    registry = scoped_session(make_sessionmaker(engine))
    registry.add(User(name="ada"))
    handle = using(registry)(engine)
    assert handle.status is Status.DEFERRED
    registry.commit()
    assert handle.result(LONG) is True
    registry.remove()


def test_async_session(tmp_path: Path, engine: Any) -> None:
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import (
        AsyncSession,
        async_scoped_session,
        async_sessionmaker,
        create_async_engine,
    )

    async def main() -> list[Handle[bool]]:
        made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.sqlite3")
        async with AsyncSession(made) as session:
            session.add(User(name="ada"))
            handles = [using(session)(engine)]
            await session.commit()
            async with session.begin_nested() as savepoint:
                handles.append(using(session)(engine))
                await savepoint.rollback()
            handles.append(using(session)(engine))
            await session.rollback()
        registry = async_scoped_session(async_sessionmaker(made), asyncio.current_task)
        registry.add(User(name="bob"))
        handles.append(using(registry)(engine, "bob"))
        assert handles[-1].status is Status.DEFERRED
        await registry.commit()
        await registry.remove()
        await made.dispose()
        return handles

    first, in_savepoint, rolled_back, scoped = asyncio.run(main())
    assert first.result(LONG) is True
    assert in_savepoint.status is Status.DISCARDED
    assert rolled_back.status is Status.DISCARDED
    assert scoped.result(LONG) is True


def test_what_is_no_open_session_is_an_error_at_the_call(engine: Any) -> None:
    values = [make_sessionmaker(engine), engine, Session]
    if sqlalchemy.__version__ not in {f"2.0.{patch}" for patch in range(22)}:
        values.append(Session(engine, close_resets_only=False))
        values[-1].close()
    for value in values:
        with pytest.raises(InvalidOption, match="after_commit"):
            using(value)(engine)
    assert counterpunch.stats().total.accepted == 0


def test_a_defer_of_another_kind_is_no_transaction(engine: Any) -> None:
    """Flask-SQLAlchemy's ``db`` hands out ``sqlalchemy.orm.defer``: ``db.session`` was meant."""

    class Extension:
        defer = staticmethod(sqlalchemy.orm.defer)

    for value in (Extension(), sqlalchemy.orm):
        with pytest.raises(InvalidOption, match=r"after_commit=.* or scoped_session of SQLAlchemy"):
            using(value)
    assert counterpunch.stats().total.accepted == 0


def test_a_custom_transaction_object_is_asked_directly(engine: Any) -> None:
    """Anything with ``defer(commit, rollback) -> bool`` can be waited for."""

    class Unit:
        open = True
        ends: tuple[Callable[[], object], ...] = ()

        def defer(self, *ends: Callable[[], object]) -> bool:
            self.ends = ends
            return self.open

    unit = Unit()
    for end, status in ((0, Status.SUCCEEDED), (1, Status.DISCARDED)):
        handle = using(unit)(engine)
        assert handle.status is Status.DEFERRED
        unit.ends[end]()
        handle.exception(LONG)
        unit.ends[1 - end]()  # a second end changes nothing
        assert handle.status is status
    unit.open = False
    assert using(unit)(engine).result(LONG) is False


@pytest.mark.parametrize("end", [0, 1], ids=["commit", "rollback"])
def test_a_transaction_may_end_while_the_job_is_being_enqueued(engine: Any, end: int) -> None:
    class Hasty:
        def defer(self, *ends: Callable[[], object]) -> bool:
            ends[end]()
            return True

    handle = using(Hasty())(engine)
    handle.exception(LONG)
    assert handle.status is (Status.SUCCEEDED, Status.DISCARDED)[end]


def test_the_transaction_is_not_kept_by_a_reusable_using(engine: Any) -> None:
    """``after_commit=None`` on top of it enqueues at once; a retry does too."""
    with Session(engine) as session:
        session.add(User(name="ada"))
        waiting = FindJob.using(after_commit=session)
        assert waiting.using(after_commit=None).perform_async(engine).result(LONG) is False
        handle = waiting.perform_async(engine)
        session.rollback()
        assert handle.retry().result(LONG) is False


def test_scoped_sessions_are_removed_around_jobs(engine: Any) -> None:
    registry = scoped_session(make_sessionmaker(engine))

    class SessionJob(Job):
        workers = 1

        def perform(self, fail: bool) -> int:
            seen.append(registry())
            registry.execute(text("SELECT 1"))
            if fail:
                raise ValueError("leaves a transaction open")
            return id(registry())

        def after(self) -> None:
            seen.append(registry())
            registry.execute(text("SELECT 1"))

    seen: list[Any] = []
    end = remove_around_jobs(registry)
    try:
        mine = registry()
        for fail in (True, False):
            SessionJob.perform_async(fail).exception(LONG)
        assert len({id(session) for session in seen}) == 4, "one each for perform and the hooks"
        assert not any(session.in_transaction() for session in seen)
        assert SessionJob.perform_now(False) == id(mine)
        assert registry() is mine, "the caller's own session was left alone"
    finally:
        end()
        registry.remove()
    with pytest.raises(InvalidOption, match="a scoped_session"):
        remove_around_jobs(make_sessionmaker(engine))
    with pytest.raises(InvalidOption, match=r"remove_around_jobs: sessions=\(\).*at least one"):
        remove_around_jobs()


@pytest.mark.parametrize("fails", [False, True])
def test_a_session_that_cannot_be_removed_changes_nothing(
    engine: Any, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The job has ended as it has, once; the next one on the thread has a session of its own."""
    ran: list[Any] = []

    class Wedged(Session):
        def close(self) -> None:
            raise OSError("the connection is gone")

    registry = scoped_session(make_sessionmaker(engine, class_=Wedged))

    class Works(Job):
        workers = 1
        retry = Retry(3, on=(OSError,), wait=0)

        def perform(self) -> None:
            ran.append(registry())
            if fails:
                raise LookupError

    end = remove_around_jobs(registry)
    try:
        for _ in range(2):
            failure = Works.perform_async().exception(LONG)
            assert type(failure) is (LookupError if fails else type(None))
    finally:
        end()
    assert len(ran) == 2
    assert ran[0] is not ran[1]
    assert "remove() of a session of" in caplog.text
