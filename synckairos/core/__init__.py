"""The way to Redis: keys, the function library, connections and the calls of its functions."""

from synckairos.tracing import redis_py as redis_py  # before any module here imports redis-py
