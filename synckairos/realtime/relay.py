"""The relay: sends the events that the library publishes about a session to all its subscribers.

A process has one subscription for each session, however many subscribers the session has. An event is framed
once, and the same bytes, which are those that the library published, go to all subscribers.

A topic is what this process knows of one session: the version and epoch that its subscribers have seen. All
followers of a topic are at that position, so the loop that delivers only has to write. A subscriber that is
just attaching, or catching up, has a position of its own until it reaches the topic's. Four rules keep the
versions in order and without gaps:

- The event that follows the topic's position is delivered, and an older one is dropped.
- After a gap, another epoch or a lost subscription the topic is behind: the missed events are read from the
  log, and when the log does not reach back that far, all subscribers get the state instead. Events that
  arrive meanwhile wait.
- A subscriber never gets a version older than one it has seen, nor an older epoch. A primary that was
  replaced may go on to publish changes that never count: they are of an older epoch, and are dropped.
- After a failover that lost the last changes, the session is behind its subscribers. Its next change begins a
  new epoch, and the state then corrects them. If none comes soon, they are told to connect again.

When a session's key vanished and the session did not age out, it is restored from the audit store, if that
has it as live. While it is not known whether the store has it, its subscribers wait.

Every topic's log is also checked once in CHECK_EVERY_S. So a message that was lost without a sign, and a key
that vanished without a keyspace event, are noticed within that time. While the slot of a partition moves to
another node of a cluster, key by key, that node publishes events that cannot be subscribed to there yet. So
then the logs of that partition are checked once in CHECK_MOVING_EVERY_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Protocol

import msgspec
import structlog
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys, parse_session_key, partition
from synckairos.core.model import Over, State
from synckairos.errors import MessageBrokerError, SessionMoved, SessionNotFound, SyncKairosError
from synckairos.realtime.deployment import Deployment, MovedTo
from synckairos.realtime.messages import EventFrames, session_gone, state_sync, text_frame
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Handler, Subscriptions
from synckairos.supervision import Backoff, Telling, cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SUBSCRIBE_TIMEOUT_S = 2.0
CHECK_EVERY_S = 4.0
CHECK_ROUNDS = 16
CHECK_MOVING_EVERY_S = 0.1
MOVING_S = 10.0
"""How long a slot counts as moving after a call was last redirected because of that."""
CHECKED_AT_ONCE = 32
CATCHING_UP_AT_ONCE = 64
HELD_EVENTS = 256
"""How many events are kept while a topic is behind. Beyond that the oldest are dropped: the log has them."""
LOST_CHANGES_S = 2.0
"""How long to wait for a session's next change, after its newest changes were lost, before its subscribers
are told to connect again."""
LATE_EVENT_S = 0.25
"""How long to wait, after a key vanished, for the deletion's event or the keyspace event with the reason."""

NORMAL_CLOSURE = 1000
SERVICE_RESTART = 1012


class Subscriber(Protocol):
    """A receiver of a session's events, such as a socket. Its methods must not block or raise."""

    sees_actors: bool
    """Whether events say who made them. To people who watch by a link they do not."""

    def send(self, frame: bytes) -> None:
        """Write one whole WebSocket frame."""

    def end(self, code: int, reason: str) -> None:
        """Close, after everything that was sent before."""


class WatchedSessionRecovery(Protocol):
    """A place from which sessions that Redis has lost can be brought back."""

    async def find(
        self, session_id: str, seen: tuple[str | None, int] = ..., *, tenant: str | None = None
    ) -> Over | None:
        """Look for a session that Redis does not have.

        One that was live is brought back to Redis: then this returns None, and Redis has to be asked again.
        One that was over is not brought back, but returned. Raises SessionNotFound, and StorageUnavailable
        when it is not known whether there is such a session.

        seen: epoch and version that subscribers have seen
        tenant: for whom it is looked for. Another tenant's session is not found, and not brought back.
        """


class Event(msgspec.Struct, frozen=True):
    """The fields of an event that the relay reads."""

    type: str
    version: int
    epoch: str
    server_time_ms: int | None = None


class ChangesLost(Exception):
    """A session's newest changes, which its subscribers have seen, do not exist any more."""


def position(epoch: str, version: int) -> tuple[int, int]:
    """Where an event stands in a session's history. Of two positions the greater one is the later one."""
    return int(epoch), version


decode_event = msgspec.json.Decoder(Event).decode


class Waiting:
    """The position of a subscriber that does not follow its topic yet.

    version, epoch: of the newest event it has; epoch is None while that is not known
    held: events that arrived while it was not known, with their frames
    """

    __slots__ = ("epoch", "held", "version")

    def __init__(self, epoch: str | None = None, version: int = 0) -> None:
        self.epoch = epoch
        self.version = version
        self.held: list[tuple[Event, EventFrames]] = []


class Topic:
    """A session with subscribers in this process."""

    __slots__ = (
        "behind",
        "channel",
        "epoch",
        "followers",
        "gone",
        "handler",
        "held",
        "over",
        "place",
        "ready",
        "recheck",
        "session_id",
        "vanish_reason",
        "version",
        "waiting",
    )

    def __init__(self, session_id: str, place: Deployment) -> None:
        self.session_id = session_id
        self.channel = SessionKeys.of(session_id).session
        self.place = place
        """The deployment that has the session."""
        self.epoch: str | None = None
        """None until the first subscriber has got the state."""
        self.version = 0
        self.followers: dict[Subscriber, None] = {}
        self.waiting: dict[Subscriber, Waiting] = {}
        self.held: list[tuple[Event, bytes]] = []
        self.behind = False
        self.recheck = False
        """Whether to catch up once more, because events may have been missed since state or log was read."""
        self.vanish_reason: str | None = None
        """Why the session's key vanished, from a keyspace event: `ttl_expired` or `evicted`."""
        self.gone = False
        self.over = False
        """Whether the session has ended and only the audit store still has it, so that no event can come."""
        self.handler: Handler
        self.ready: asyncio.Task[None]

    def hold(self, event: Event, data: bytes) -> None:
        """Keep an event until it can be delivered. The oldest of too many is dropped: the log has it."""
        if len(self.held) == HELD_EVENTS:
            del self.held[0]
        self.held.append((event, data))


def _unheard(_: bytes) -> None:
    """What is done about the events of a topic that is gone."""


def _seen(topic: Topic) -> list[tuple[int, int]]:
    """The positions of all the topic's subscribers."""
    places = [(place.epoch, place.version) for place in topic.waiting.values()]
    if topic.followers:
        places.append((topic.epoch, topic.version))
    return [position(epoch, version) for epoch, version in places if epoch is not None]


class Relay:
    """All topics of this process.

    sessions: asks Redis alone
    recovery: brings back sessions that Redis does not have
    moved_to: finds sessions that have moved to another deployment. Without it their subscribers are told to
        connect again.
    """

    def __init__(
        self,
        sessions: Sessions,
        subscriptions: Subscriptions,
        clock: ServerClock,
        recovery: WatchedSessionRecovery | None = None,
        moved_to: MovedTo | None = None,
    ) -> None:
        self._home = Deployment(sessions, subscriptions, clock)
        self._places: set[Subscriptions] = set()
        """The subscriptions that tell of what they have missed."""
        self._recovery = recovery
        self._moved_to = moved_to
        self._topics: dict[str, Topic] = {}
        self._behind: dict[Topic, None] = {}
        self._unreadable = Telling()
        self._wake = asyncio.Event()
        self._moving: dict[str, float] = {}
        """Partitions whose slot moves, with when that was last noticed (monotonic seconds)."""
        self._moves = asyncio.Event()
        self._catching_up = asyncio.Semaphore(CATCHING_UP_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def topics(self) -> int:
        """Sessions with at least one subscriber."""
        return len(self._topics)

    async def start(self) -> None:
        """Start to relay."""
        self._listen(self._home)
        self._tasks = [
            asyncio.create_task(supervise("relay catch-up", self._run), name="relay catch-up"),
            asyncio.create_task(supervise("relay check", self._check), name="relay check"),
            asyncio.create_task(supervise("relay moves", self._check_moving), name="relay moves"),
        ]
        self._home.sessions.connection.on_importing.add(self._slot_moves)

    async def stop(self) -> None:
        """Stop relaying. Subscribers stay connected, but get no more events."""
        self._home.sessions.connection.on_importing.discard(self._slot_moves)
        await cancel(*self._tasks, *self._jobs)
        for topic in list(self._topics.values()):
            self._drop(topic)

    async def attach(self, session_id: str, subscriber: Subscriber, tenant: str | None = None) -> State:
        """Subscribe to the session, then read its state and return it.

        Nothing is sent to `subscriber` until `follow` is called with its position.

        tenant: to whom the session has to belong

        Raises SessionNotFound, MessageBrokerError (no subscription in time) and the errors of `Sessions.get`.
        After an error the subscriber is not attached.
        """
        topic = self._topics.get(session_id)
        if topic is None:
            topic = self._topics[session_id] = Topic(session_id, self._home)
            topic.handler = partial(self._arrived, topic)
            topic.ready = asyncio.create_task(
                topic.place.subscriptions.subscribe(topic.channel, topic.handler), name="subscribe"
            )
            metrics.websocket_sessions.inc()
        topic.waiting[subscriber] = Waiting()
        try:
            await self._subscribed(topic)
            return await self._read(topic, tenant)
        except BaseException:
            self.detach(session_id, subscriber)
            raise

    async def _subscribed(self, topic: Topic) -> None:
        """Wait until the topic's subscription is there. Raises MessageBrokerError when it takes too long."""
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await asyncio.shield(topic.ready)
        except TimeoutError as error:
            raise MessageBrokerError("the session's events cannot be subscribed to now") from error

    async def _read(self, topic: Topic, tenant: str | None) -> State:
        try:
            return await self._read_here(topic, tenant)
        except SessionMoved as moved:
            if not await self._follow_move(topic, moved):
                raise
        return await topic.place.sessions.get(topic.session_id, tenant)

    async def _read_here(self, topic: Topic, tenant: str | None) -> State:
        try:
            return await topic.place.sessions.get(topic.session_id, tenant)
        except SessionNotFound:
            if self._recovery is None:
                raise
        over = await self._recovery.find(topic.session_id, tenant=tenant)
        if over is None:
            return await topic.place.sessions.get(topic.session_id, tenant)
        topic.over = True
        return over

    def now_ms(self, session_id: str) -> float:
        """The time of the clock that the session runs by, now."""
        topic = self._topics.get(session_id)
        place = self._home if topic is None else topic.place
        return place.clock.now_ms(partition(session_id))

    def follow(self, session_id: str, subscriber: Subscriber, epoch: str, version: int) -> None:
        """Send the subscriber the events after `version` of `epoch`. It was attached or held before.

        Does nothing when the subscriber was detached meanwhile.
        """
        topic = self._topics.get(session_id)
        if topic is None or subscriber not in topic.waiting:
            return
        held = topic.waiting[subscriber].held
        place = topic.waiting[subscriber] = Waiting(epoch, version)
        if topic.epoch is None:
            topic.epoch, topic.version = epoch, version
            self._promote(topic)
            if topic.recheck:
                topic.recheck = False
                self._fall_behind(topic)
            else:
                self._deliver_held(topic)
            return
        for event, frames in held:
            self._send_next(subscriber, place, event, frames)
        self._promote(topic)
        if subscriber in topic.waiting:
            self._fall_behind(topic)

    def hold(self, session_id: str, subscriber: Subscriber) -> tuple[str | None, int]:
        """Send the subscriber nothing until the next `follow`. Returns its position: epoch and version."""
        topic = self._topics.get(session_id)
        if topic is None:
            return None, 0
        if subscriber in topic.followers:
            del topic.followers[subscriber]
            position = topic.epoch, topic.version
        elif subscriber in topic.waiting:
            position = topic.waiting[subscriber].epoch, topic.waiting[subscriber].version
        else:
            return None, 0
        topic.waiting[subscriber] = Waiting()
        return position

    def detach(self, session_id: str, subscriber: Subscriber) -> None:
        """Remove the subscriber. With the last subscriber of a session, its topic is removed too."""
        topic = self._topics.get(session_id)
        if topic is None:
            return
        topic.followers.pop(subscriber, None)
        topic.waiting.pop(subscriber, None)
        if not topic.followers and not topic.waiting:
            self._drop(topic)

    # Events that arrive

    def _arrived(self, topic: Topic, data: bytes) -> None:
        event = decode_event(data)
        if event.type == "SESSION_MOVED":
            self._fall_behind(topic)
        elif topic.behind or topic.epoch is None:
            topic.hold(event, data)
        else:
            self._receive(topic, event, data)

    def _receive(self, topic: Topic, event: Event, data: bytes) -> None:
        if event.epoch == topic.epoch:
            if event.version <= topic.version:
                return
            if event.version == topic.version + 1:
                self._deliver(topic, event, data)
                return
        elif topic.epoch is not None and int(event.epoch) < int(topic.epoch):
            return
        topic.hold(event, data)
        self._fall_behind(topic)

    def _deliver(self, topic: Topic, event: Event, data: bytes) -> None:
        """Send the event that follows the topic's position to all subscribers."""
        began = perf_counter()
        frames = EventFrames(data)
        topic.version = event.version
        followers = list(topic.followers)
        for subscriber in followers:
            subscriber.send(frames.whole if subscriber.sees_actors else frames.without_actor)
        metrics.websocket_deliveries.inc(len(followers))
        metrics.relay_latency.observe(perf_counter() - began)
        if followers and event.server_time_ms is not None:
            now_ms = topic.place.clock.now_ms(partition(topic.session_id))
            metrics.websocket_delivery.observe(max(0.0, now_ms - event.server_time_ms) / 1000)
        if topic.waiting:
            for subscriber, place in topic.waiting.items():
                if place.epoch is None:
                    place.held.append((event, frames))
                else:
                    self._send_next(subscriber, place, event, frames)
            self._promote(topic)
        if event.type == "SESSION_DELETED":
            self._end(topic, NORMAL_CLOSURE, "the session was deleted")

    def _send_next(self, subscriber: Subscriber, place: Waiting, event: Event, frames: EventFrames) -> None:
        """Send the event if it is the next one for this subscriber."""
        if event.epoch == place.epoch and event.version == place.version + 1:
            place.version = event.version
            subscriber.send(frames.whole if subscriber.sees_actors else frames.without_actor)
            metrics.websocket_deliveries.inc()

    def _promote(self, topic: Topic) -> None:
        """Make followers of the subscribers that have reached the topic's position."""
        for subscriber, place in list(topic.waiting.items()):
            if place.version == topic.version and place.epoch is not None and place.epoch == topic.epoch:
                del topic.waiting[subscriber]
                topic.followers[subscriber] = None

    def _deliver_held(self, topic: Topic) -> None:
        """Deliver the events that arrived while the topic was behind, or before it had a position."""
        held, topic.held = topic.held, []
        delivered = 0
        while delivered < len(held) and not topic.behind and not topic.gone:
            self._receive(topic, *held[delivered])
            delivered += 1
        for event, data in held[delivered:]:
            topic.hold(event, data)

    # Catching up

    def _restored(self, channels: Collection[str]) -> None:
        for channel in channels:
            topic = self._topics.get(parse_session_key(channel) or "")
            if topic is not None:
                self._fall_behind(topic)

    def _vanished(self, key: bytes, event: str) -> None:
        if not key.startswith(b"sk:{"):
            return
        topic = self._topics.get(parse_session_key(key) or "")
        if topic is not None:
            topic.vanish_reason = "ttl_expired" if event == "expired" else "evicted"
            self._fall_behind(topic)

    def _fall_behind(self, topic: Topic) -> None:
        """Mark the topic as behind, so that it catches up from the log. Until then its events wait."""
        if topic.epoch is None or topic.behind:
            topic.recheck = True
        elif not topic.gone:
            topic.behind = True
            self._behind[topic] = None
            self._wake.set()

    async def _run(self) -> None:
        self._behind.update((topic, None) for topic in self._topics.values() if topic.behind)
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._behind:
                topic = next(iter(self._behind))
                del self._behind[topic]
                await self._catching_up.acquire()
                job = asyncio.create_task(self._catch_up(topic), name="relay catch-up of a session")
                self._jobs.add(job)
                job.add_done_callback(self._catch_up_ended)

    def _catch_up_ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self._catching_up.release()

    async def _catch_up(self, topic: Topic) -> None:
        """Bring the topic up to date. After an error it is tried again, until it succeeds."""
        backoff = Backoff()
        patient_until = monotonic() + LOST_CHANGES_S
        while not topic.gone:
            try:
                await self._catch_up_and_follow(topic, patient=monotonic() < patient_until)
                return
            except ChangesLost:
                backoff.reset()
            except SyncKairosError as error:
                logger.log(
                    self._unreadable.level(),
                    "a session's events cannot be read at the moment",
                    session=topic.session_id,
                    error=repr(error),
                )
            except Exception:
                logger.exception("catching up with a session failed", session=topic.session_id)
            self._catching_up.release()  # so that a session that fails does not keep others waiting
            try:
                await asyncio.sleep(backoff.pause())
            finally:
                await self._catching_up.acquire()

    async def _catch_up_and_follow(self, topic: Topic, *, patient: bool) -> None:
        """Catch up where the session is. Without a way to that place, its subscribers have to find it."""
        try:
            await self._catch_up_once(topic, patient=patient)
        except SessionMoved as moved:
            if await self._follow_move(topic, moved):
                await self._catch_up_once(topic, patient=patient)
            else:
                self._end(topic, SERVICE_RESTART, "the session has moved to another server; connect again")

    async def _follow_move(self, topic: Topic, moved: SessionMoved) -> bool:
        """Subscribe to the session where it went. Returns whether there is a way to that place."""
        place = None if self._moved_to is None else await self._moved_to.deployment(moved)
        if place is None:
            return False
        if topic.place is not place:
            topic.place.subscriptions.unsubscribe(topic.channel, topic.handler)
            topic.place = place
            self._listen(place)
            topic.ready = asyncio.create_task(
                place.subscriptions.subscribe(topic.channel, topic.handler), name="subscribe"
            )
        await self._subscribed(topic)
        return True

    def _listen(self, place: Deployment) -> None:
        """Learn which channels of a deployment may have missed messages, and which keys are gone."""
        if place.subscriptions not in self._places:
            self._places.add(place.subscriptions)
            place.subscriptions.on_restored.append(self._restored)
            place.subscriptions.on_vanished.append(self._vanished)

    async def _catch_up_once(self, topic: Topic, *, patient: bool) -> None:
        """One attempt. Raises SyncKairosError, and ChangesLost when the session is behind its subscribers.

        patient: whether there is still time to wait for the session's next change in that case
        """
        placed = [place for place in topic.waiting.values() if place.epoch is not None]
        missed = None
        try:
            if all(place.epoch == topic.epoch for place in placed):
                since = min([topic.version, *(place.version for place in placed)])
                missed = await topic.place.sessions.log(topic.session_id, since, topic.epoch)
            if missed is not None and not topic.gone:
                self._deliver_missed(topic, missed)
                self._promote(topic)
            if missed is None or any(place.epoch is not None for place in topic.waiting.values()):
                state = await topic.place.sessions.get(topic.session_id)
                if patient and any(seen > position(state.epoch, state.version) for seen in _seen(topic)):
                    raise ChangesLost
                self._resync(topic, state)
            topic.over = False
        except SessionNotFound:
            deleted = await self._read_tombstone(topic)
            await self._await_vanish_reason(topic, deleted)
            if not topic.gone and not await self._bring_back(topic, deleted):
                self._announce_gone(topic, deleted)
        if not topic.gone:
            topic.behind = False
            topic.vanish_reason = None
            self._deliver_held(topic)
            if topic.recheck:
                topic.recheck = False
                self._fall_behind(topic)

    def _deliver_missed(self, topic: Topic, missed: Sequence[bytes]) -> None:
        """Deliver events of the log to all subscribers that have not seen them."""
        filled = False
        for data in missed:
            event = decode_event(data)
            if event.epoch != topic.epoch or topic.gone:
                return
            if event.version == topic.version + 1:
                filled = True
                self._deliver(topic, event, data)
            elif event.version <= topic.version and topic.waiting:
                frames = EventFrames(data)
                for subscriber, place in topic.waiting.items():
                    self._send_next(subscriber, place, event, frames)
        if filled:
            metrics.relay_gaps.labels("log").inc()

    def _resync(self, topic: Topic, state: State) -> None:
        """Send the state to all subscribers that have not seen it, because the log does not reach back."""
        if topic.gone:
            return
        metrics.relay_gaps.labels("state").inc()
        before = topic.epoch, topic.version
        topic.epoch, topic.version = state.epoch, state.version
        frame = text_frame(state_sync(state))
        places: dict[Subscriber, tuple[str | None, int]] = dict.fromkeys(topic.followers, before)
        places.update(
            (who, (place.epoch, place.version)) for who, place in topic.waiting.items() if place.epoch
        )
        for subscriber, (epoch, version) in places.items():
            if epoch is not None and position(epoch, version) > position(state.epoch, state.version):
                # The server lost changes that this subscriber has seen, so the subscriber has to start anew,
                # with a new connection.
                topic.followers.pop(subscriber, None)
                topic.waiting.pop(subscriber, None)
                subscriber.end(SERVICE_RESTART, "the session's newest changes were lost; connect again")
                continue
            if (epoch, version) != (state.epoch, state.version):
                subscriber.send(frame)
            topic.waiting.pop(subscriber, None)
            topic.followers[subscriber] = None
        if not topic.followers and not topic.waiting:
            self._drop(topic)

    async def _check(self) -> None:
        """Check the log of every topic once in CHECK_EVERY_S, a few topics at a time."""
        while True:
            topics = list(self._topics.values())
            rounds = max(CHECK_ROUNDS, -(-len(topics) // CHECKED_AT_ONCE))
            for number in range(rounds):
                await asyncio.sleep(CHECK_EVERY_S / rounds)
                await asyncio.gather(*map(self._check_one, topics[number::rounds]))

    def _slot_moves(self, key: str) -> None:
        session_id = parse_session_key(key)
        if session_id is not None:
            self._moving[partition(session_id)] = monotonic()
            self._moves.set()

    async def _check_moving(self) -> None:
        """Check the topics of partitions whose slot moves, again and again until it has moved."""
        while True:
            await self._moves.wait()
            await asyncio.sleep(CHECK_MOVING_EVERY_S)
            self._moving = {
                name: noticed for name, noticed in self._moving.items() if monotonic() - noticed < MOVING_S
            }
            topics = [topic for topic in self._topics.values() if partition(topic.session_id) in self._moving]
            for start in range(0, len(topics), CHECKED_AT_ONCE):
                await asyncio.gather(*map(self._check_one, topics[start : start + CHECKED_AT_ONCE]))
            if not self._moving:
                self._moves.clear()

    async def _check_one(self, topic: Topic) -> None:
        if topic.behind or topic.gone or topic.over or topic.epoch is None:
            return
        try:
            missed = await topic.place.sessions.log(topic.session_id, topic.version, topic.epoch)
        except (SessionNotFound, SessionMoved):
            missed = None
        except SyncKairosError:
            return  # the storage is away; the next check tries again
        if missed is None or (missed and decode_event(missed[-1]).version > topic.version):
            self._fall_behind(topic)

    # The end

    async def _await_vanish_reason(self, topic: Topic, deleted: tuple[int, str] | None) -> None:
        """Wait a moment for the deletion's own event, or for the reason of a vanished key."""
        waited = 0.0
        while waited < LATE_EVENT_S:
            if any(event.type == "SESSION_DELETED" for event, _ in topic.held):
                topic.behind = False
                self._deliver_held(topic)
                if topic.gone:
                    return
                topic.behind = True
            keyspace_events = topic.place.subscriptions.keyspace_events
            if deleted is None and (topic.vanish_reason or keyspace_events != "on"):
                break
            waited += LATE_EVENT_S / 5
            await asyncio.sleep(LATE_EVENT_S / 5)

    async def _bring_back(self, topic: Topic, deleted: tuple[int, str] | None) -> bool:
        """Restore a vanished session unless it was deleted or has aged out. Returns whether it exists now.

        One that has moved to another deployment is restored by the services there.
        """
        if deleted is not None or topic.vanish_reason == "ttl_expired" or self._recovery is None:
            return False
        if topic.place is not self._home:
            return False
        try:
            over = await self._recovery.find(topic.session_id, (topic.epoch, topic.version))
            state = over or await topic.place.sessions.get(topic.session_id)
        except SessionNotFound:
            return False
        self._resync(topic, state)
        return over is None or topic.over

    def _announce_gone(self, topic: Topic, deleted: tuple[int, str] | None) -> None:
        """Tell all subscribers that the session no longer exists, and why."""
        if topic.gone:
            return
        version, epoch = deleted or (topic.version, topic.epoch or "")
        reason = "deleted" if deleted else topic.vanish_reason or "evicted"
        now_ms = int(self.now_ms(topic.session_id))
        frame = text_frame(session_gone(topic.session_id, version, epoch, now_ms, reason))
        for subscriber in (*topic.followers, *topic.waiting):
            subscriber.send(frame)
        self._end(topic, NORMAL_CLOSURE, f"the session is gone: {reason}")

    async def _read_tombstone(self, topic: Topic) -> tuple[int, str] | None:
        """Version and epoch of the deletion; None when the session was not deleted but its key vanished."""
        client = await topic.place.sessions.connection.primary_for(topic.channel)
        try:
            fields: list[Any] = await client.hmget(topic.channel, ["status", "version", "epoch"])
        except (RedisError, OSError) as error:
            raise MessageBrokerError("it is not known why the session is gone") from error
        status, version, epoch = fields
        return (int(version), epoch.decode()) if status == b"deleted" else None

    def _end(self, topic: Topic, code: int, reason: str) -> None:
        subscribers = [*topic.followers, *topic.waiting]
        self._drop(topic)
        for subscriber in subscribers:
            subscriber.end(code, reason)

    def _drop(self, topic: Topic) -> None:
        if topic.gone:
            return
        topic.gone = True
        topic.followers.clear()
        topic.waiting.clear()
        del self._topics[topic.session_id]
        self._behind.pop(topic, None)
        topic.ready.cancel()
        topic.place.subscriptions.unsubscribe(topic.channel, topic.handler)
        topic.handler = _unheard  # the other one refers to the topic
        metrics.websocket_sessions.dec()
