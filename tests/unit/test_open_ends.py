"""A socket that a test leaves open fails this test, and none of those that run while garbage is collected."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import Callable

import pytest

from tests.support.open_ends import OpenEnds

Leave = Callable[[asyncio.StreamWriter], None]


def report_after(leave: Leave) -> pytest.TestReport:
    """What becomes of the report of a test that has passed and left a connection like this."""

    async def connected() -> None:
        _, writer = await asyncio.open_connection(*target.getsockname())
        kept.append(writer)
        leave(writer)

    kept: list[asyncio.StreamWriter] = []
    with socket.create_server(("127.0.0.1", 0)) as target:
        asyncio.run(connected())
    call = pytest.CallInfo.from_call(lambda: None, "teardown")
    hook = OpenEnds().pytest_runtest_makereport(call)
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(pytest.TestReport("a test", ("file", 1, "a test"), {}, "passed", None, "teardown"))
    found: pytest.TestReport = ended.value.value
    return found


def is_quiet(leave: Leave) -> pytest.TestReport:
    """The same, and nothing comes up when the garbage is collected."""
    gc.collect()  # what others have left
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        report = report_after(leave)
        gc.collect()
    assert [str(each.message) for each in caught] == []
    return report


def test_a_test_that_leaves_a_socket_open_fails_and_no_other_does() -> None:
    report = is_quiet(lambda writer: None)
    assert report.failed
    assert "raddr=('127.0.0.1'" in str(report.longrepr)


@pytest.mark.parametrize(
    "leave",
    [
        lambda writer: writer.close(),
        lambda writer: writer.transport.abort(),
        lambda writer: (writer.write(bytes(10_000_000)), writer.close()),
    ],
    ids=["closed", "aborted", "closed with more to send"],
)
def test_what_is_closed_just_then_is_no_failure(leave: Leave) -> None:
    assert is_quiet(leave).passed
