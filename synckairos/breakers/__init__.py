"""Circuit breakers: what has failed to answer again and again is not asked for a while. See README.md."""
