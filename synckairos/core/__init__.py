"""The way to Redis: keys, the function library, connections and the calls of its functions."""
