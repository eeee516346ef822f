"""Benches of the core, the HTTP API, the WebSocket relay and the expiry of clocks.

What a machine can do differs from day to day, and with what else runs on it. So each figure is compared with
a yardstick that was measured in the same run, in turns with it, and the targets are ratios of the two.
"""
