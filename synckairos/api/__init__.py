"""HTTP and WebSocket: checks input, calls the function library, relays events. The library has the rules."""

from synckairos.tracing import redis_py as redis_py  # before any module here imports redis-py
