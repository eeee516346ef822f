"""The WebSocket `/ws`: clients watch a session, and may switch, pause and resume it."""
