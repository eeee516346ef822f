"""What waits for all clients of a process together."""

from __future__ import annotations

from synckairos.api.websocket.unread import make_room


class Client:
    def __init__(self, unread: int) -> None:
        self.unread = unread
        self.is_given_up = False

    def give_up(self) -> None:
        self.is_given_up = True


def given_up(*unread: int, most: int) -> list[int]:
    """For how much each client is given up."""
    clients = [Client(each) for each in unread]
    make_room(clients, most)
    return [each.unread for each in clients if each.is_given_up]


def test_thousands_who_read_nothing_do_not_fill_the_memory() -> None:
    """Each of them is below its own bound."""
    assert given_up(*[900_000] * 1000, most=512 * 1024 * 1024) == [900_000] * 404
    # Those for whom most waits go, and nobody else.
    assert given_up(5, 0, 90, 40, 7, most=60) == [90]
    assert given_up(5, 0, 90, 40, 7, most=51) == [90, 40]
    assert given_up(5, 0, 90, 40, 7, most=142) == []
    assert given_up(most=0) == []
