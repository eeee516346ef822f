"""What every request, every command of a socket and every job goes through: one chain of middleware.

`synckairos.chain.middleware` has the order and what puts a chain together. README.md has the whole table.
"""
