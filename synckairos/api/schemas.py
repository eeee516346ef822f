"""The types of bodies, queries and answers. They decode small bodies and queries, and describe the API.

A session's config and a new participant are described here for OpenAPI only. The function library judges
them, and gets them as the text that came.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from synckairos.audit import tags
from synckairos.audit.inspection import Inspection
from synckairos.auth.claims import is_name, is_token_id
from synckairos.auth.grants import LinkRole
from synckairos.presets import PRESETS, Preset
from synckairos.webhooks.model import MOST_URL, DeliveryStatus, WebhookStatus

DAY_MS = 86_400_000
LONGEST_MS = 366 * DAY_MS
"""The bound of times and increments in the function library, and of the service with LONG_CLOCKS."""
SHORT_INCREMENT_MS = 60_000
"""The bound of increments without LONG_CLOCKS; that of all other times is then DAY_MS."""
SHORT = "x-without-long-clocks"
"""The member of a schema with the bounds without LONG_CLOCKS. What the API describes are those that hold."""
LONGEST_PAUSE_MS = 30 * DAY_MS
LONGEST_LINK_S = 30 * 86_400
MOST_SECONDS = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""

UUID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

# `extra` has the message with which a wrong value is answered.
Uuid = Annotated[str, Meta(pattern=UUID_PATTERN, extra={"must": "must be a UUID"})]
Version = Annotated[
    int,
    Meta(
        ge=0,
        le=2**53 - 1,
        description="Refuse unless nothing but warnings happened since this version",
        extra={"must": "must be a version: a whole number from 0"},
    ),
]


def _times(least: int, short: int = DAY_MS, **meta: Any) -> Meta:
    """The meta of milliseconds of which there may be more with LONG_CLOCKS: `short` at most without it.

    With a negative `least` that is also how far they may be below zero.
    """
    schema = {SHORT: {"minimum": max(least, -short), "maximum": short}}
    return Meta(ge=least, le=LONGEST_MS, extra_json_schema=schema, **meta)


WHOLE_MS = "must be a whole number of milliseconds"
"""What is said of a time that is none. Where it is read its bounds are added, which LONG_CLOCKS changes."""
SetMs = Annotated[int, _times(0, extra={"must": WHOLE_MS})]
AddMs = Annotated[int, _times(-LONGEST_MS, extra={"must": WHOLE_MS})]
WithinMs = Annotated[int, _times(1, extra={"must": WHOLE_MS})]
ShortSetMs = Annotated[int, Meta(ge=0, le=DAY_MS, extra={"must": WHOLE_MS})]
ShortAddMs = Annotated[int, Meta(ge=-DAY_MS, le=DAY_MS, extra={"must": WHOLE_MS})]
ShortWithinMs = Annotated[int, Meta(ge=1, le=DAY_MS, extra={"must": WHOLE_MS})]
Moment = Annotated[
    int,
    Meta(
        ge=1,
        le=2**53 - 1,
        description="A moment of the server's clock (ms since 1970), at most 366 days ahead",
        extra={"must": "must be a time of the server's clock in milliseconds, or null"},
    ),
]
Turns = Annotated[
    int,
    Meta(
        ge=1,
        le=16,
        description="How many turns, 1 unless given",
        extra={"must": "must be a whole number from 1 to 16"},
    ),
]
Reason = Annotated[str, Meta(min_length=1, max_length=200, extra={"must": "must be 1 to 200 characters"})]
Since = Annotated[int, Meta(ge=0, le=2**53 - 1, extra={"must": "must be a version: a whole number from 0"})]
PageSize = Annotated[int, Meta(ge=1, le=100, extra={"must": "must be a whole number from 1 to 100"})]
Cursor = Annotated[
    str, Meta(min_length=1, max_length=512, extra={"must": "must be the next_cursor of a page before"})
]
Status = Literal["pending", "running", "paused", "expired", "completed", "cancelled"]
SyncMode = Literal["per_participant", "per_group", "per_cycle", "global", "count_up"]


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """A body or query that this package decodes. Unknown names are refused, and null means absent."""

    def problem(self) -> tuple[str, str] | None:
        """Field and message of a problem in the combination of fields; None when there is none."""
        return None


class Body(Input, frozen=True, forbid_unknown_fields=True):
    """The body of a call that changes a session."""

    expected_version: Version | None = None


class TransitionBody(Body, frozen=True, forbid_unknown_fields=True):
    """The body of a call that has no fields of its own."""


class SwitchBody(Body, frozen=True, forbid_unknown_fields=True):
    """The participant who has to be active, and the one who is to be next."""

    current_participant_id: Uuid | None = None
    next_participant_id: Uuid | None = None


class PauseBody(Body, frozen=True, forbid_unknown_fields=True):
    """Whether the pause counts, as it does unless this says no. One that does not is for leaders alone."""

    counted: (
        Annotated[
            bool,
            Meta(
                description="False: a pause that takes nothing of `max_pauses` and `max_total_pause_ms`. "
                "Players cannot make one.",
                extra={"must": "must be true or false"},
            ),
        ]
        | None
    ) = None


class TakebackBody(Body, frozen=True, forbid_unknown_fields=True):
    """How many of the last turns are undone."""

    turns: Turns | None = None


class TurnBody(Body, frozen=True, forbid_unknown_fields=True):
    """Whose turn it is to be."""

    active_participant_id: Uuid | None = None

    def problem(self) -> tuple[str, str] | None:
        """The participant has to be named."""
        return None if self.active_participant_id is not None else ("active_participant_id", "is required")


class ScheduleBody(Body, frozen=True, forbid_unknown_fields=True):
    """When a session starts and ends by itself. Null takes a moment back, and what is absent stays."""

    starts_at_ms: Moment | msgspec.UnsetType | None = msgspec.UNSET
    ends_at_ms: Moment | msgspec.UnsetType | None = msgspec.UNSET

    def problem(self) -> tuple[str, str] | None:
        """One of the two has to be given, and the end has to come after the start."""
        starts, ends = self.starts_at_ms, self.ends_at_ms
        if starts is msgspec.UNSET and ends is msgspec.UNSET:
            return "starts_at_ms", "or ends_at_ms is required, or both"
        if isinstance(starts, int) and isinstance(ends, int) and ends <= starts:
            return "ends_at_ms", "must be after starts_at_ms"
        return None


class MetadataBody(Struct):
    """What is to change in the metadata: a JSON merge patch (RFC 7396). Null removes a member."""

    metadata: Annotated[
        dict[str, Any], Meta(description="With it the metadata has at most 100 keys and 10,240 bytes")
    ]
    expected_version: Version | None = None


class AdjustBody(Body, frozen=True, forbid_unknown_fields=True):
    """The time to set a clock to, or to add to it. With `within_ms`, only when less than that is left."""

    total_time_ms: SetMs | None = None
    add_ms: AddMs | None = None
    within_ms: WithinMs | None = None
    reason: Reason | None = None

    def problem(self) -> tuple[str, str] | None:
        """Exactly one of `total_time_ms` and `add_ms` has to be given."""
        if (self.total_time_ms is None) == (self.add_ms is None):
            return "total_time_ms", "or add_ms is required, one of them"
        return None


class AdjustClockBody(AdjustBody, frozen=True, forbid_unknown_fields=True):
    """The same for a clock that nobody owns: that of the session, or of the cycle."""

    clock: (
        Annotated[
            Literal["total"],
            Meta(description="The time of the whole session, where each cycle has a time of its own"),
        ]
        | None
    ) = None


class ShortAdjustBody(AdjustBody, frozen=True, forbid_unknown_fields=True):
    """An adjustment as a service without LONG_CLOCKS takes it."""

    total_time_ms: ShortSetMs | None = None
    add_ms: ShortAddMs | None = None
    within_ms: ShortWithinMs | None = None


class ShortAdjustClockBody(AdjustClockBody, frozen=True, forbid_unknown_fields=True):
    """The same for a clock that nobody owns."""

    total_time_ms: ShortSetMs | None = None
    add_ms: ShortAddMs | None = None
    within_ms: ShortWithinMs | None = None


class NoQuery(Input, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


LinkSeconds = Annotated[
    int,
    Meta(
        ge=1,
        le=LONGEST_LINK_S,
        description="How long the link is good, a day unless given",
        extra={"must": f"must be a whole number of seconds from 1 to {LONGEST_LINK_S}"},
    ),
]
TokenId = Annotated[
    str, Meta(min_length=1, max_length=255, extra={"must": "must be the jti of a token: 1 to 255 characters"})
]
Subject = Annotated[
    str, Meta(min_length=1, max_length=255, extra={"must": "must be a subject: 1 to 255 characters"})
]
IssuedBefore = Annotated[
    float,
    Meta(
        ge=0,
        le=MOST_SECONDS,
        description="The newest time of issue that is revoked, in seconds since 1970; now unless given",
        extra={"must": f"must be seconds since 1970: a number from 0 to {MOST_SECONDS}"},
    ),
]


class LinkBody(Input, frozen=True, forbid_unknown_fields=True):
    """Whom a link is for. A player's needs the participant as whom it plays, other links have none."""

    role: LinkRole | None = None
    participant_id: Uuid | None = None
    expires_in_s: LinkSeconds | None = None

    def problem(self) -> tuple[str, str] | None:
        """A role has to be given, and a participant with `player` alone."""
        if self.role is None:
            return "role", "must be one of " + ", ".join(get_args(LinkRole))
        if (self.participant_id is not None) != (self.role == "player"):
            return "participant_id", "must be given for a player, and for nobody else"
        return None


class RevocationBody(Input, frozen=True, forbid_unknown_fields=True):
    """One token, or all of a subject that were issued until some time, and those that do not say when."""

    jti: TokenId | None = None
    sub: Subject | None = None
    issued_before: IssuedBefore | None = None

    def problem(self) -> tuple[str, str] | None:
        """Exactly one of `jti` and `sub` has to be given, and `issued_before` with `sub` alone.

        They have to be such that a token can have them.
        """
        if (self.jti is None) == (self.sub is None):
            return "", "must have either jti or sub"
        if self.jti is not None and self.issued_before is not None:
            return "issued_before", "must not be given with jti"
        if self.jti is not None and not is_token_id(self.jti):
            return "jti", "must have no NUL"
        if self.sub is not None and not is_name(self.sub):
            return "sub", "must have no control characters"
        return None


Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MOST_URL,
        description="Of https and the public network; in development also this machine",
        extra={"must": f"must be an https URL of at most {MOST_URL} characters"},
    ),
]
Patterns = Annotated[
    list[str],
    Meta(
        description="Names of events, or `<group>.*`; all events unless given",
        extra={"must": "must be a list of names of events, or of groups such as participant.*"},
    ),
]
MetadataFilter = Annotated[
    dict[str, Any],
    Meta(
        description="What has to stand in a session's metadata, at the top level and equal",
        extra={"must": "must be an object with what has to stand in a session's metadata"},
    ),
]
WebhookSecret = Annotated[
    str,
    Meta(
        description="`whsec_` and Base64 of 24 to 64 bytes; made unless given",
        extra={"must": "must be whsec_ and Base64 of 24 to 64 bytes"},
    ),
]


Tag = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=tags.LONGEST * 4,
        description="Only sessions that have this tag in `metadata.tags`, in any case of its letters",
        extra={"must": tags.MUST},
    ),
]
WithParticipants = Annotated[
    bool,
    Meta(
        description="Whether the states have their `participants`; not those of sessions with very many",
        extra={"must": "must be true or false"},
    ),
]


class WebhookBody(Input, frozen=True, forbid_unknown_fields=True):
    """An address, and what it is sent: all events of all sessions, unless something is given."""

    url: Url | None = None
    events: Patterns | None = None
    sessions: MetadataFilter | None = None
    secret: WebhookSecret | None = None


class NoBody(Input, frozen=True, forbid_unknown_fields=True):
    """No fields."""


class DeliveriesQuery(Input, frozen=True, forbid_unknown_fields=True):
    """How many deliveries a page has, and where it begins."""

    limit: PageSize = 100
    cursor: Cursor | None = None


class EventsQuery(Input, frozen=True, forbid_unknown_fields=True):
    """`since`: the version after which events are wanted."""

    since: Since = 0


class ListQuery(Input, frozen=True, forbid_unknown_fields=True):
    """Which sessions to list, and how many on a page."""

    status: Status | None = None
    tag: Tag | None = None
    participants: WithParticipants = False
    limit: PageSize = 20
    cursor: Cursor | None = None


class AccessLogQuery(Input, frozen=True, forbid_unknown_fields=True):
    """How many entries a page has, and where it begins."""

    limit: PageSize = 100
    cursor: Cursor | None = None


# The types from here on are for OpenAPI only.

Milliseconds = Annotated[int, Meta(description="Milliseconds")]
Instant = Annotated[
    str, Meta(description="ISO 8601, UTC, milliseconds", extra_json_schema={"format": "date-time"})
]
Bank = Annotated[
    int,
    _times(
        0,
        description="Milliseconds: at least 1 s, or 0 where the control has something after it, such as "
        "periods, a delay or overtime",
    ),
]
CycleTime = Annotated[int, _times(1000, description="Milliseconds, at least 1 s")]

IncrementMs = Annotated[
    int,
    _times(
        0,
        SHORT_INCREMENT_MS,
        description="Given after every cycle that ended in time; of `byoyomi` after one in main time",
    ),
]
DelayMs = Annotated[
    int,
    _times(
        0,
        description="Free time of every cycle: `delay` gives it before the clock runs, `bronstein` gives it "
        "back afterwards",
    ),
]
Periods = Annotated[int, Meta(ge=1, le=1000, description="`byoyomi`: how many periods")]
PeriodMs = Annotated[
    int,
    _times(1, description="`byoyomi`: how long a period is; `canadian`: how long a block is"),
]
NOTATIONS = [
    "5",
    "5+3",
    "40/90:30+30",
    "10d5",
    "10b5",
    "10+5x30",
    "10+5+3x30",
    "10+25/300",
    "hourglass 5",
    "40/120",
    "G/60;d5",
    "40/90,SD/30;d5",
    "TM[1800]OT[5x30 byo-yomi]",
    "300+3",
    "pgn 10+0.1",
    "40/5400+30:1800+30",
    "*180",
    "-",
]
Notation = Annotated[
    str,
    Meta(
        description="A time control as players write it, in minutes and seconds, or as PGN, US Chess or SGF",
        examples=NOTATIONS,
    ),
]


Name = Annotated[str, Meta(min_length=1, max_length=200, description="A name for people", examples=["Anna"])]


StageKind = Literal["fischer", "bronstein", "delay", "byoyomi", "canadian", "hourglass"]
ControlKind = Literal[StageKind, "stages", "none"]


class StageConfig(Struct):
    """One stage of a time control with stages."""

    time_ms: Annotated[
        int, _times(0, description="Added when the stage begins; the first one has at least 1 s")
    ]
    kind: StageKind = "fischer"
    moves: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=1000,
                description="How many moves the stage has; the last stage has no limit unless it repeats",
            ),
        ]
        | None
    ) = None
    increment_ms: IncrementMs | None = None
    delay_ms: DelayMs | None = None
    periods: Periods | None = None
    period_ms: PeriodMs | None = None


class TimeControl(Struct):
    """How a clock is spent: a kind with its own parameters and no others, or a `notation` for all of it."""

    kind: ControlKind | None = None
    increment_ms: IncrementMs | None = None
    delay_ms: DelayMs | None = None
    periods: Periods | None = None
    period_ms: PeriodMs | None = None
    moves: Annotated[int, Meta(ge=1, le=1000, description="`canadian`: moves of a block")] | None = None
    stages: (
        Annotated[
            list[StageConfig], Meta(min_length=1, max_length=8, description="`stages`: the stages in order")
        ]
        | None
    ) = None
    repeat: (
        Annotated[
            bool, Meta(description="`stages`: the last stage has `moves`, too, and comes again and again")
        ]
        | None
    ) = None
    overtime_ms: Annotated[int, _times(0, description="How far a clock may go below zero")] | None = None
    notation: Notation | None = None


class ParticipantConfig(Struct):
    """A participant, who takes turns."""

    participant_id: Uuid
    participant_index: Annotated[int, Meta(ge=0, le=999, description="Place in the rotation")] | None = None
    group_id: Uuid | None = None
    total_time_ms: Bank | None = None
    time_control: TimeControl | Notation | None = None


class JoinBody(ParticipantConfig):
    """A new participant, and optionally the version that the session has to be at."""

    expected_version: Version | None = None


class NewParticipant(Struct, kw_only=True):
    """A participant of a new session, by id, by name, or by both."""

    participant_id: Annotated[Uuid | None, Meta(description="Made where there is a name")] = None
    name: Annotated[Name, Meta(description="Kept as `metadata.names`")] | None = None
    participant_index: Annotated[int, Meta(ge=0, le=999, description="Place in the rotation")] | None = None
    group_id: Uuid | None = None
    group: Annotated[Name, Meta(description="A group by its name, in place of `group_id`")] | None = None
    total_time_ms: Bank | None = None
    time_control: TimeControl | Notation | None = None


class GroupConfig(Struct):
    """Participants who share one clock."""

    group_id: Uuid
    total_time_ms: Bank | None = None
    time_control: TimeControl | Notation | None = None


class NewGroup(Struct, kw_only=True):
    """A group of a new session, by id, by name, or by both."""

    group_id: Annotated[Uuid | None, Meta(description="Made where there is a name")] = None
    name: Annotated[Name, Meta(description="Kept as `metadata.names`")] | None = None
    total_time_ms: Bank | None = None
    time_control: TimeControl | Notation | None = None


class TimeoutAction(Struct):
    """What happens when time is up. Other fields are allowed, and come back in `action_applied`."""

    type: Literal["end_session", "skip_cycle", "auto_action", "notify"]


class SessionConfig(Struct, kw_only=True):
    """A new session. A field that is given with a `preset` replaces the whole field of the preset."""

    preset: (
        Annotated[
            str,
            Meta(
                description="A well-known clock, see `GET /v1/presets`",
                examples=["blitz"],
                extra_json_schema={"enum": list(PRESETS)},
            ),
        ]
        | None
    ) = None
    sync_mode: Annotated[SyncMode | None, Meta(description="Required without a preset")] = None
    title: Annotated[Name, Meta(description="Kept as `metadata.title`")] | None = None
    participants: Annotated[
        list[NewParticipant | Name],
        Meta(
            min_length=1,
            max_length=1000,
            description="A text is a participant's name, or an id",
            examples=[["Anna", "Ben"]],
        ),
    ]
    session_id: Uuid | None = None
    groups: list[NewGroup | Name] | None = None
    active_participant_id: Uuid | None = None
    total_time_ms: Bank | None = None
    time_per_cycle_ms: CycleTime | None = None
    increment_ms: Annotated[int, _times(0, SHORT_INCREMENT_MS)] | None = None
    max_time_ms: CycleTime | None = None
    time_control: TimeControl | Notation | None = None
    lag_compensation: bool | None = None
    auto_advance: bool | None = None
    action_on_timeout: TimeoutAction | None = None
    warnings_ms: (
        Annotated[
            list[
                Annotated[
                    int,
                    Meta(
                        ge=-LONGEST_MS,
                        le=DAY_MS,
                        description="0 is the bell at zero; what is below comes in overtime",
                        extra_json_schema={SHORT: {"minimum": -DAY_MS, "maximum": DAY_MS}},
                    ),
                ]
            ],
            Meta(max_length=8),
        ]
        | None
    ) = None
    max_pause_ms: (
        Annotated[
            int,
            Meta(ge=1, le=LONGEST_PAUSE_MS, description="A session paused for so long resumes by itself"),
        ]
        | None
    ) = None
    max_pauses: Annotated[int, Meta(ge=0, le=1000, description="How many pauses there may be")] | None = None
    max_total_pause_ms: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=LONGEST_PAUSE_MS,
                description="How long all pauses together may last; then the session resumes by itself",
            ),
        ]
        | None
    ) = None
    max_cycles: (
        Annotated[int, Meta(ge=1, le=1_000_000, description="After so many cycles the session is completed")]
        | None
    ) = None
    starts_at_ms: Moment | None = None
    ends_at_ms: Moment | None = None
    players_may_pause: bool | None = None
    players_may_choose_next: bool | None = None
    metadata: Annotated[dict[str, Any], Meta(max_length=100)] | None = None


class ClockNow(Struct):
    """What would be left if the cycle were charged now. It has the fields of the owner's time control."""

    periods_left: int | msgspec.UnsetType = msgspec.UNSET
    period_remaining_ms: (
        Annotated[
            int,
            Meta(
                description="What is left of the running period; a whole period while main time runs, 0 when "
                "no period is left"
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    block_remaining_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    overtime_used_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET


class Clock(Struct):
    """What a player has to see of this time control, as it was when the cycle began.

    It has the fields of this time control.
    """

    stage: Annotated[int, Meta(description="From 0")] | msgspec.UnsetType = msgspec.UNSET
    moves_left: (
        Annotated[int, Meta(description="Moves to the next stage, or left in the block")] | msgspec.UnsetType
    ) = msgspec.UNSET
    periods_left: int | msgspec.UnsetType = msgspec.UNSET
    block_remaining_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    overtime_used_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    quota_ms: (
        Annotated[int, Meta(description="How much lag compensation may still credit (ms)")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    now: (
        Annotated[ClockNow, Meta(description="Only in states, and only of the clock that runs or is paused")]
        | msgspec.UnsetType
    ) = msgspec.UNSET


TotalRemaining = Annotated[
    int,
    Meta(
        description="`global` with `total_time_ms` and `time_per_cycle_ms`: time left for the whole session"
    ),
]
ResumesAt = Annotated[
    int,
    Meta(description="Of a paused session whose pause is bounded: when it resumes by itself"),
]
StartsAt = Annotated[int, Meta(description="When the session starts by itself (server ms)")]
EndsAt = Annotated[int, Meta(description="When it ends by itself, whatever its clocks say (server ms)")]


class Owner(Struct):
    """A participant or group at the time of the state. Clock fields are null when it has no clock."""

    total_time_ms: Milliseconds | None
    time_used_ms: Milliseconds
    time_remaining_ms: Milliseconds | None
    cycle_count: int
    is_active: bool
    has_expired: bool
    clock: Clock | None


class Participant(Owner):
    """A participant at the time of the state."""

    participant_id: str
    participant_index: int
    group_id: str | None
    time_control: TimeControl | None


class Group(Owner):
    """A group at the time of the state."""

    group_id: str
    time_control: TimeControl | None


class SessionSummary(Struct):
    """A session at `server_time_ms`, without its participants."""

    session_id: str
    sync_mode: SyncMode
    status: Status
    version: int
    epoch: str
    schema: int
    groups: list[Group]
    active_participant_id: str | None
    active_group_id: str | None
    total_time_ms: Milliseconds | None
    time_per_cycle_ms: Milliseconds | None
    increment_ms: Milliseconds | None
    max_time_ms: Milliseconds | None
    time_control: TimeControl | None
    lag_compensation: bool
    time_used_ms: Milliseconds
    time_remaining_ms: Milliseconds | None
    total_remaining_ms: TotalRemaining | None
    cycle_count: int
    cycle_elapsed_ms: Milliseconds | None
    auto_advance: bool
    action_on_timeout: dict[str, Any]
    warnings_ms: list[int]
    max_pause_ms: Milliseconds | None
    max_pauses: int | None
    max_total_pause_ms: Milliseconds | None
    max_cycles: int | None
    players_may_pause: bool
    players_may_choose_next: bool
    metadata: dict[str, Any]
    cycle_started_at: Instant | None
    deadline_ms: Milliseconds | None
    resumes_at_ms: ResumesAt | None
    starts_at_ms: StartsAt | None
    ends_at_ms: EndsAt | None
    pauses_left: Annotated[int | None, Meta(description="Null where there is no `max_pauses`")]
    pause_remaining_ms: Annotated[
        int | None,
        Meta(description="What is left of `max_total_pause_ms`, a running pause deducted; null without one"),
    ]
    session_started_at: Instant | None
    session_completed_at: Instant | None
    created_at: Instant
    updated_at: Instant
    server_time_ms: Milliseconds
    tenant_id: str | None
    recovered: bool
    recovered_at: Instant | None
    warning: str | None


class SessionState(SessionSummary, kw_only=True):
    """A session at `server_time_ms`."""

    participants: list[Participant]


class ChangeFields(Struct, kw_only=True):
    """What one change did. `participants` and `groups` list those whose stored values changed."""

    event: str
    reason: str
    status: Status
    active_participant_id: str | None
    active_group_id: str | None
    cycle_started_at: Instant | None
    deadline_ms: Milliseconds | None
    time_remaining_ms: Milliseconds | None
    cycle_count: int
    participants: list[Participant]
    groups: list[Group]
    actor: str | None
    trace: str | None
    total_remaining_ms: TotalRemaining | msgspec.UnsetType = msgspec.UNSET
    resumes_at_ms: ResumesAt | msgspec.UnsetType = msgspec.UNSET
    starts_at_ms: StartsAt | msgspec.UnsetType | None = msgspec.UNSET
    ends_at_ms: EndsAt | msgspec.UnsetType | None = msgspec.UNSET
    turns: Annotated[int, Meta(description="How many turns were taken back")] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    total_time_ms: (
        Annotated[Milliseconds, Meta(description="After a reset: what the session's own clock has")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    max_time_ms: (
        Annotated[Milliseconds | None, Meta(description="After a reset: up to where the session counts")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    counted: (
        Annotated[bool, Meta(description="False for a pause that is left out of the bounds of all pauses")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    expired_participant_id: str | msgspec.UnsetType = msgspec.UNSET
    expired_group_id: str | msgspec.UnsetType = msgspec.UNSET
    expired_deadline_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    expired_clock: (
        Annotated[
            Literal["total"],
            Meta(description="The session's time ended, and not the cycle's"),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    late_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    action_applied: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    warning_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    lag_credit_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    overtime_used_ms: Milliseconds | msgspec.UnsetType = msgspec.UNSET
    removed_participant_id: str | msgspec.UnsetType = msgspec.UNSET
    adjusted_ms: (
        Annotated[int, Meta(description="By how much the clock's `time_remaining_ms` changed at this moment")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    adjust_reason: str | msgspec.UnsetType = msgspec.UNSET
    metadata: (
        Annotated[dict[str, Any], Meta(description="In `metadata.changed`: all of it, as it is now")]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    suspicious: str | msgspec.UnsetType = msgspec.UNSET
    moved_to: str | msgspec.UnsetType = msgspec.UNSET


class ChangeReply(ChangeFields, kw_only=True):
    """A change with its session, version and time."""

    session_id: str
    version: int
    epoch: str
    server_time_ms: Milliseconds


class Event(Struct):
    """A change as it is logged, and as WebSocket clients get it."""

    v: int
    type: Literal["STATE_UPDATE", "TIME_WARNING", "TIME_EXPIRED", "SESSION_DELETED", "SESSION_MOVED"]
    session_id: str
    version: int
    epoch: str
    server_time_ms: Milliseconds
    payload: ChangeFields


class Stale(Struct):
    """Says that the state comes from a replica, because there was no primary, and how old it may be."""

    age_ms: Annotated[int, Meta(ge=0)]


class StateDocument(Struct):
    """A state. `stale` is there only while there is no primary, and the state may be out of date."""

    data: SessionState
    stale: Stale | msgspec.UnsetType = msgspec.UNSET


class ChangeDocument(Struct):
    """A change."""

    data: ChangeReply


class AdjustDocument(Struct):
    """A change, or null when at least `within_ms` was left."""

    data: ChangeReply | None


class MetadataDocument(Struct):
    """A change, or null when the metadata was so already."""

    data: ChangeReply | None


class Presets(Struct):
    """The presets in the order in which they are listed."""

    presets: list[Preset]


class PresetsDocument(Struct):
    """Presets."""

    data: Presets


class Events(Struct):
    """Events, oldest first. The next page is `since=next_since`."""

    events: list[Event]
    next_since: int


class EventsDocument(Struct):
    """Events."""

    data: Events


class SessionPage(Struct):
    """Sessions without their participants, newest first.

    A page may have fewer sessions than its limit although more follow. The last page has no `next_cursor`.
    """

    sessions: list[SessionSummary]
    next_cursor: str | None


class SessionPageDocument(Struct):
    """A page of sessions."""

    data: SessionPage


class AccessLogEntry(Struct):
    """A refusal, or an action of an admin or on links, webhooks, keys and revocations.

    Who could not be made out has neither name nor tenant. Who asked to be forgotten has neither name, token,
    request id nor address.
    """

    at: Instant
    tenant_id: str | None
    sub: str | None
    roles: list[str]
    token_id: str | None
    action: str
    session_id: str | None
    outcome: Literal["allowed", "refused"]
    code: Annotated[str | None, Meta(description="The code of the error with which it was refused")]
    request_id: str | None
    address: str | None
    count: Annotated[int, Meta(description="How many equal refusals within 10 s it stands for")]


class AccessLogPage(Struct):
    """Entries, newest first. The last page has no `next_cursor`."""

    entries: list[AccessLogEntry]
    next_cursor: str | None


class AccessLogDocument(Struct):
    """A page of the access log."""

    data: AccessLogPage


class InspectionDocument(Struct):
    """A session in both stores."""

    data: Inspection


class Detail(Struct):
    """One problem. `field` is a dotted path with positions, such as `participants.0.participant_id`."""

    field: str
    message: str


class Failure(Struct):
    """What went wrong, and whether the same call may succeed later."""

    code: str
    message: str
    retryable: bool
    context: dict[str, Any]
    details: list[Detail] | msgspec.UnsetType = msgspec.UNSET


class FailureDocument(Struct):
    """The body of every error."""

    error: Failure


class ShownLink(Struct):
    """A link to a session. Its token was shown when it was made, and is not kept."""

    link_id: str
    role: LinkRole
    participant_id: str | None
    created_at: str
    expires_at: str


class MadeLink(Struct):
    """A new link. `url` begins with `/` unless the service knows its public address."""

    link_id: str
    token: str
    url: str
    role: LinkRole
    participant_id: str | None
    expires_at: str


class MadeLinkDocument(Struct):
    """A new link."""

    data: MadeLink


class Links(Struct):
    """Links that are good, the oldest first."""

    links: list[ShownLink]


class LinksDocument(Struct):
    """Links."""

    data: Links


class ShownWebhook(Struct):
    """A webhook. `events` and `sessions` are null where it is sent all.

    `ended`: the receiver has answered with 410. `disabled`: it has failed for three days.
    """

    webhook_id: str
    url: str
    events: list[str] | None
    sessions: dict[str, Any] | None
    status: WebhookStatus
    created_at: Instant


class MadeWebhook(ShownWebhook):
    """A new webhook, with its secret."""

    secret: str


class MadeWebhookDocument(Struct):
    """A new webhook."""

    data: MadeWebhook


class Webhooks(Struct):
    """Webhooks, the oldest first."""

    webhooks: list[ShownWebhook]


class WebhooksDocument(Struct):
    """Webhooks."""

    data: Webhooks


class Delivery(Struct):
    """A delivery. `attempts` counts those that have ended, and `response_status` is the last answer's.

    `next_attempt_at` is null where none is due, also while an older delivery of the session waits.
    """

    delivery_id: str
    status: DeliveryStatus
    attempts: int
    response_status: int | None
    created_at: Instant
    next_attempt_at: Instant | None


class DeliveryDocument(Struct):
    """A delivery."""

    data: Delivery


class Deliveries(Struct):
    """Deliveries, newest first. The last page has no `next_cursor`."""

    deliveries: list[Delivery]
    next_cursor: str | None


class DeliveriesDocument(Struct):
    """A page of deliveries."""

    data: Deliveries


class Revoked(Struct):
    """What is revoked."""

    jti: str | None
    sub: str | None
    issued_before: float | None


class RevokedDocument(Struct):
    """What is revoked."""

    data: Revoked


class Time(Struct):
    """The server's clock when the request came, and when this answer was sent."""

    timestamp_ms: Milliseconds
    receive_ms: Milliseconds
    transmit_ms: Milliseconds
    server_version: str
    drift_tolerance_ms: Milliseconds


class Health(Struct):
    """The process is alive."""

    status: Literal["ok"]


class Check(Struct):
    """The state of one part that the service needs."""

    status: Literal["ok", "degraded", "unready"]
    message: str | msgspec.UnsetType = msgspec.UNSET


class Ready(Struct):
    """Whether the service can do its work: the worst of the checks. A degraded service still works."""

    status: Literal["ok", "degraded", "unready"]
    checks: dict[str, Check]
