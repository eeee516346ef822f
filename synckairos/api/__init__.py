"""HTTP and WebSocket: validates, calls, relays. What a session allows is for the function library to say."""
