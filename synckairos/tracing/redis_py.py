"""Imports redis-py without OpenTelemetry, which it imports wherever that is installed.

It does so for metrics that are off here. A process that makes no spans would pay for them at its start, with
time and memory. Packages that use redis-py import this first.
"""

import sys

_NAME = "opentelemetry"

if _NAME not in sys.modules:
    sys.modules[_NAME] = None  # type: ignore[assignment] # so that importing it is an ImportError
    try:
        import redis  # noqa: F401 - it stays in sys.modules
    finally:
        del sys.modules[_NAME]
