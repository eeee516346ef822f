"""What runs by itself: the relay of events to sockets, the subscriptions behind it, the timekeeper."""
