"""The command `synckairos call`: any function of the library, from a terminal."""
