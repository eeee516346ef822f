"""`/ws`: clients that watch a session, and may switch, pause and resume it."""
