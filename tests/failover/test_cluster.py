"""`synckairos failover` in a cluster."""

from __future__ import annotations

import asyncio

from tests.support import programs, servers
from tests.support.live import PATIENCE_S


async def test_a_primary_hands_over_to_its_replica() -> None:
    with servers.start_cluster("valkey", replicas=True) as cluster:
        primary, replica = cluster.primaries[0], cluster.replicas[0]
        which = programs.run("failover", REDIS_CLUSTER_NODES=cluster.nodes)
        assert which.returncode == 1
        assert "--primary says which one" in which.stderr
        async with primary.client() as old, replica.client() as new:
            await asyncio.to_thread(_in_step, primary, replica)
            done = await asyncio.to_thread(
                programs.run,
                "failover",
                "--primary",
                f"127.0.0.1:{primary.port}",
                REDIS_CLUSTER_NODES=cluster.nodes,
            )
            assert done.returncode == 0, done.stderr
            assert f"127.0.0.1:{replica.port} took over from 127.0.0.1:{primary.port}" in done.stdout
            assert (await new.info("replication"))["role"] == "master"
            async with asyncio.timeout(PATIENCE_S):
                while (await old.info("replication"))["role"] != "slave":
                    await asyncio.sleep(0.02)


def _in_step(primary: servers.Server, replica: servers.Server) -> None:
    with primary.sync_client() as old, replica.sync_client() as new:
        servers.wait_for(
            lambda: (
                new.info("replication").get("master_link_status") == "up"
                and new.info("replication")["slave_repl_offset"]
                >= old.info("replication")["master_repl_offset"]
            ),
            "the replica to be in step",
        )
