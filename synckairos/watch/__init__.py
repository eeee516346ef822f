"""`synckairos watch`: the clocks of a session, live in a terminal."""
