"""HTTP and WebSocket: checks input, calls the function library, relays events. The library has the rules."""
