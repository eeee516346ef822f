"""Below the meaning of a request: connections, heads and bodies, and how long and how large each may be."""
