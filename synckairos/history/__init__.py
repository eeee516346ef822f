"""Records what callers and sockets were told, and checks it against what happened."""
