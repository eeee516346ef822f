"""The parts that work without a request: the relay of events to sockets, subscriptions, the timekeeper."""
