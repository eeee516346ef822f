"""What waits for all clients of a process together."""

from __future__ import annotations

from synckairos.api.transport.unread import make_room


class Client:
    def __init__(self, unread: int) -> None:
        self.unread = unread
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def cut_off(*unread: int, most: int) -> list[int]:
    """For how much each client is cut off."""
    clients = [Client(each) for each in unread]
    make_room(clients, most)
    return [each.unread for each in clients if each.is_cut]


def test_thousands_who_read_nothing_do_not_fill_the_memory() -> None:
    """Each of them is below its own bound."""
    assert cut_off(*[900_000] * 1000, most=512 * 1024 * 1024) == [900_000] * 404
    # Those for whom most waits go, and nobody else.
    assert cut_off(5, 0, 90, 40, 7, most=60) == [90]
    assert cut_off(5, 0, 90, 40, 7, most=51) == [90, 40]
    assert cut_off(5, 0, 90, 40, 7, most=142) == []
    assert cut_off(most=0) == []
