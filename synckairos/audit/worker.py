"""The worker: takes batches from the queue and stores them.

It is rq's SimpleWorker: a batch is stored in this process, with its event loop and its pool of connections. rq's
other worker forks for every job; measured with batches of 500 events, the fork and the new connection to
PostgreSQL cost more than storing the batch does.

What a worker that was killed has left is found by the others: each holds a lease, renewed every second.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.exceptions import NoSuchJobError, StopRequested
from rq.execution import Execution
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.utils import now, parse_composite_key

from synckairos import alerts, metrics
from synckairos.audit import jobs
from synckairos.audit.jobs import JOB_S, STORE, Jobs
from synckairos.audit.store import Store
from synckairos.config import Settings
from synckairos.errors import SyncKairosError
from synckairos.supervision import Backoff

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
