"""Benches of the core, the HTTP API, the WebSocket relay and the expiry of clocks.

A machine's speed differs from day to day, and depends on the other programs that run on it. So each figure is
compared with a yardstick that was measured in the same run, in turns with it. The targets are ratios of both.
"""
