"""A planned change of primary: `synckairos failover`. Nothing is lost, and callers wait for a moment.

`sentinels.py` has Sentinels do it, `cluster.py` the nodes of a cluster. Both ask a replica to take over only
when it has all that the primary has, while nobody can write. Whatever fails, the old primary goes on.
"""
