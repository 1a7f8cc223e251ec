"""Words of other libraries: the error names ours, on classes, functions and handles."""

from __future__ import annotations

from typing import Any

import pytest

from counterpunch import Handle, Job, job


@pytest.fixture
def function() -> Any:
    @job
    def hello(name: str) -> str:
        return name

    return hello


WORDS = {
    "perform_later": "perform_async",
    "delay": "perform_async",
    "apply_async": "perform_async",
    "send": "perform_async",
    "enqueue": "perform_async",
    "perform_sync": "perform_now",
    "set": "using",
    "drain": r"recorder.drain\(\)",
    "jobs": r"counterpunch.jobs\(",
    "clear": "cancel_all",
    "enqueue_in": "perform_in",
    "push_bulk": "perform_bulk",
    "push": "perform_async",
    "delay_on_commit": r"using\(after_commit=True\)\.perform_async",
    "s": r"functools.partial\(.*perform_async",
    "si": "Batch",
    "retry_on": r"retry = .*Retry\(on=",
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_from_elsewhere_names_ours(word: str, function: Any) -> None:
    class Hello(Job):
        def perform(self) -> None: ...

    for owner in (Hello, function, Hello()):
        with pytest.raises(
            AttributeError, match=f"no attribute '{word}': here it is .*{WORDS[word]}"
        ):
            getattr(owner, word)
        assert not hasattr(owner, word)
    with pytest.raises(AttributeError, match=r"no attribute 'unheard_of'$"):
        Hello.unheard_of  # type: ignore[attr-defined]  # noqa: B018


def test_who_awaits_a_class_is_told_what_to_await(function: Any) -> None:
    import asyncio

    class Hello(Job):
        def perform(self) -> None: ...

    async def waits(what: Any) -> None:
        await what

    for what in (Hello, function):
        with pytest.raises(TypeError, match=r"await .*[hH]ello.perform_async\(\.\.\.\)"):
            asyncio.run(waits(what))


ON_HANDLES = {
    "get": r"result\(timeout\)",
    "value": r"result\(timeout\)",
    "wait_for": r".*asyncio\.wait_for\(handle",
    "ready": r"done\(\)",
    "successful": "status",
    "revoke": r"cancel\(\)",
    "task_id": "id",
}


@pytest.mark.parametrize("word", ON_HANDLES)
def test_a_word_from_elsewhere_on_a_handle(word: str, function: Any) -> None:
    handle: Handle[str] = function.perform_async("ada")
    for owner in (handle, Handle):
        with pytest.raises(
            AttributeError, match=f"no attribute '{word}': here it is {ON_HANDLES[word]}"
        ) as missing:
            getattr(owner, word)
        assert missing.value.name == word
        assert not hasattr(owner, word)
    with pytest.raises(AttributeError):
        setattr(handle, word, 1)  # it has slots
