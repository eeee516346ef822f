"""The access log: who was refused, and what admins did, as a chain of hashes for each tenant."""
