"""What an attacker does to a service at full limits, with a victim that switches beside it.

Each attack is a module with `measure(scene) -> list[Figure]`, and has a line in `synckairos.bench.attack`.
"""
