"""What a class wants hidden is hidden in every text that a value could get into."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import counterpunch
from counterpunch import Duplicate, InvalidOption, Job, delay, testing

SOON = 10.0  # seconds
SECRET = "hunter2"

HIDING: list[dict[str, Any]] = [
    {"log_args": False},
    {"redact": ("password",)},
    {"redact": lambda name, value: "***"},
]
WAYS = ["log_args", "redact", "function"]


def made(options: dict[str, Any], **more: Any) -> Any:
    """A job class of a password."""
    given = {name: staticmethod(v) if callable(v) else v for name, v in options.items()}

    def perform(self: Job, user: str, password: object = None) -> None:
        raise ValueError("no")

    return type(Job)("Login", (Job,), {"perform": perform, **given, **more})


def everything(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(logging.Formatter().format(record) for record in caplog.records)


@pytest.mark.parametrize("options", HIDING, ids=WAYS)
def test_the_error_of_a_duplicate(options: dict[str, Any]) -> None:
    """The identity is made of the arguments."""
    identity = staticmethod(lambda user, password=None: (user, password))
    more = {"identity": identity, "unique": "active", "on_duplicate": "raise"}
    job = made(options, **more)
    job.perform_in(60, "ada", SECRET)
    with pytest.raises(Duplicate, match="same identity \\[hidden\\]") as caught:
        job.perform_async("ada", SECRET)
    assert SECRET not in str(caught.value)
    shown = made({}, **more)
    shown.perform_in(60, "ada", SECRET)
    with pytest.raises(Duplicate, match=SECRET):
        shown.perform_async("ada", SECRET)
    with pytest.raises(Duplicate, match="hidden"):
        shown.using(log_args=False).perform_async("ada", SECRET)


@pytest.mark.parametrize("options", HIDING, ids=WAYS)
@pytest.mark.parametrize("mode", ["json", "pickle", "copy"])
def test_arguments_that_do_not_survive(options: dict[str, Any], mode: Any) -> None:
    """``strict_args``: the encoder's own words may hold the value, and so may its exception."""

    class Cred:
        def __repr__(self) -> str:
            return SECRET

        def __reduce_ex__(self, protocol: object) -> Any:
            raise ValueError(SECRET)

        __deepcopy__ = __reduce_ex__

    counterpunch.configure(strict_args=mode)
    with pytest.raises(TypeError) as caught:
        made(options).perform_async("ada", Cred())
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("options", HIDING, ids=WAYS)
def test_a_row_and_an_identity_that_are_none(options: dict[str, Any]) -> None:
    """``perform_bulk``, and what cannot be hashed."""
    with pytest.raises(TypeError) as row:
        made(options).perform_bulk([SECRET])
    with pytest.raises(InvalidOption) as enqueue:
        made(options, identity=staticmethod(lambda user, password=None: [password])).perform_async(
            "ada", SECRET
        )
    with pytest.raises(InvalidOption) as query:
        made(options, identity=staticmethod(lambda user, password=None: 1)).in_progress([SECRET])
    for caught in (row, enqueue, query):
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(getattr(caught.value, "value", None))


@pytest.mark.parametrize("options", HIDING, ids=WAYS)
def test_the_assertions_of_a_test(options: dict[str, Any]) -> None:
    """They end up in the logs of a CI."""
    job, other = made(options), made(options)
    with testing.fake() as fake:
        job.perform_async("ada", password=SECRET)
        for look in (
            lambda: fake.assert_enqueued(other),
            lambda: fake.assert_enqueued(job, args=(SECRET,), kwargs={"password": SECRET}),
            lambda: fake.assert_not_enqueued(job),
            lambda: fake.perform_one(other),
        ):
            with pytest.raises((AssertionError, counterpunch.CounterpunchError)) as caught:
                look()  # type: ignore[no-untyped-call]
            assert SECRET not in str(caught.value)
            assert "Login" in str(caught.value)
        fake.clear()


def test_the_assertions_show_what_is_not_hidden_whatever_its_repr_does() -> None:
    """An argument's own error is not the test's."""

    class Broken:
        def __repr__(self) -> str:
            raise OSError

    job = made({})
    with testing.fake() as fake:
        job.perform_async("ada", Broken())
        with pytest.raises(AssertionError, match="args=\\('ada', <Broken"):
            fake.assert_not_enqueued(job)
        fake.clear()


@pytest.mark.parametrize("options", HIDING, ids=WAYS)
def test_the_log_of_a_job(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Its start, its failure, and the report of a stop."""
    caplog.set_level(logging.DEBUG, "counterpunch")
    job = made(options)
    job.perform_async("ada", SECRET).exception(SOON)
    job.perform_in(60, "ada", SECRET)
    job.perform_in(60, "ada", password=SECRET)
    counterpunch.shutdown(timeout=SOON)
    text = everything(caplog)
    assert text.count("Login(") >= 4
    assert SECRET not in text


def test_a_call_that_hides_what_its_class_does_not(caplog: pytest.LogCaptureFixture) -> None:
    """``using(log_args=False)`` and ``using(redact=...)``; and what its class does, shown."""
    caplog.set_level(logging.INFO, "counterpunch")
    job = made({})
    job.using(log_args=False).perform_async("ada", SECRET).exception(SOON)
    job.using(redact=["password"]).perform_async("ada", SECRET).exception(SOON)
    assert SECRET not in everything(caplog)
    assert "'ada', [hidden]" in everything(caplog)
    made({"log_args": False}).using(log_args=True).perform_async("bob").exception(SOON)
    assert "'bob'" in everything(caplog)
    with pytest.raises(InvalidOption, match="redact='pasword' is not valid"):
        job.using(redact=["pasword"])


class User:
    name = "ada"

    def login(self, password: str) -> None:
        raise ValueError("no")


def test_a_delayed_method_hides(caplog: pytest.LogCaptureFixture) -> None:
    """``delay(user, log_args=False)``, and by name; a positional argument is hidden too."""
    caplog.set_level(logging.INFO, "counterpunch")
    handle: Any = delay(User(), log_args=False).login(SECRET)
    handle.exception(SOON)
    handle = delay(User(), redact=("password",)).login(password=SECRET)
    handle.exception(SOON)
    handle = delay(User(), redact=("password",)).login(SECRET)
    handle.exception(SOON)
    assert SECRET not in everything(caplog)
    assert len(caplog.records) >= 3
    with pytest.raises(InvalidOption, match="delay: redact='pasword' is not valid"):
        delay(User(), redact=("pasword",)).login(SECRET)


def without_wraps(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class CallableObject:
    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("no")


def test_a_perform_that_does_not_say_what_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    """Its positional arguments may be anything, so ``redact`` by name hides them all."""
    caplog.set_level(logging.INFO, "counterpunch")

    class Wrapped(Job):
        redact = ("password",)

        @without_wraps
        def perform(self, user: str, password: str) -> None:
            raise ValueError("no")

    class Called(Job):
        redact = ("password",)
        perform = CallableObject()

    class Passed(Wrapped):
        def perform(self, *args: Any, **kwargs: Any) -> None:
            super().perform(*args, **kwargs)

    for job in (Wrapped, Called, Passed):
        job.perform_async("ada", SECRET).exception(SOON)
        job.perform_async("ada", password=SECRET).exception(SOON)
    assert SECRET not in everything(caplog)


def test_what_is_known_by_name_hides_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """``*rows`` beside a named secret is no secret."""
    caplog.set_level(logging.INFO, "counterpunch")

    class Import(Job):
        redact = ("password",)

        def perform(self, *rows: str, password: str) -> None:
            raise ValueError("no")

    Import.perform_async("one", "two", password=SECRET).exception(SOON)
    assert "'one', 'two', password=[hidden]" in everything(caplog)


def test_a_redact_that_names_nothing_is_refused() -> None:
    """Misspelt, or inherited by a class that calls the parameter otherwise."""
    with pytest.raises(InvalidOption, match=r"redact='pasword' is not valid.*user, password"):
        made({"redact": ("pasword",)})

    class Login(Job):
        redact = ("password",)

        def perform(self, user: str, password: str) -> None: ...

    with pytest.raises(InvalidOption, match=r"Sso: redact='password' is not valid.*user, pw"):

        class Sso(Login):
            def perform(self, user: str, pw: str) -> None: ...  # type: ignore[override]

    class Renamed(Login):
        redact = ("pw",)

        def perform(self, user: str, pw: str) -> None: ...  # type: ignore[override]

    class Base(Job):
        redact = ("password", "token")

    class Plain(Base):
        def perform(self, user: str) -> None: ...

    assert Plain.options["redact"] == {"password", "token"}


@pytest.mark.parametrize(
    "name", ["a\nERROR root forged", "b\x1b[2J", "c\r", "d\u2028e", "x" * 200, "two words", "\x00"]
)
def test_no_name_forges_a_line_of_the_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of a keyword argument, of a class, of what raises."""
    caplog.set_level(logging.INFO, "counterpunch")

    class Open(Job):
        def perform(self, **kwargs: Any) -> None:
            raise ValueError("no")

    Open.perform_async(**{name: 1}).exception(SOON)
    title = name.replace("\x00", "\x01")  # no class is called by a NUL
    called = type(Job)(title, (Job,), {"perform": lambda self: 1 / 0})
    called.perform_async().exception(SOON)
    called.perform_in(60)
    print(repr(called.perform_in(60)))
    counterpunch.shutdown(timeout=SOON)
    assert len(caplog.records) >= 3
    for record in caplog.records:
        for line in record.getMessage().split("\n"):
            assert line.isprintable(), line
        assert not any(line.startswith("ERROR root") for line in record.getMessage().splitlines())


def test_an_argument_that_is_large_costs_a_record_little(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of 20 MB no more is copied than is shown."""
    import tracemalloc

    caplog.set_level(logging.INFO, "counterpunch")
    job, large = made({}), b"\xff" * 20_000_000
    job.perform_async("warm").exception(SOON)
    tracemalloc.start()
    try:
        job.perform_async("ada", large).exception(SOON)
        assert counterpunch.wait_idle(SOON)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_id_cannot_be_guessed_from_another() -> None:
    """Of the same class, one after the other: neither by counting on nor by leaving out."""

    class Counted(Job):
        def perform(self) -> None: ...

    first, second = Counted.perform_in(60), Counted.perform_in(60)
    head, _, seal = first.id.rpartition("-")
    assert counterpunch.find(first.id) is first
    assert len(seal) == 12
    assert second.id.rpartition("-")[2] != seal
    guesses = [head, f"{head}-", f"{head}-{'0' * 12}", f"{second.id.rpartition('-')[0]}-{seal}"]
    for guess in (*guesses, first.id.upper(), f"{first.id}0", f"0{first.id}", ""):
        assert counterpunch.find(guess) is None or guess == first.id
    Counted.cancel_all()


def test_what_cannot_travel_to_an_engine() -> None:
    """Neither the value nor a key within it, which may be the secret."""
    from counterpunch.backends._encoding import Unencodable, encode

    for value in ({SECRET: object()}, {1: SECRET}, [SECRET, object()], {"a": {SECRET: {1}}}):
        with pytest.raises(Unencodable) as caught:
            encode(value, "args[0]")
        assert SECRET not in caught.value.hidden
        assert caught.value.hidden.startswith("args[0]")
