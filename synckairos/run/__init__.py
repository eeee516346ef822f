"""The service as processes: `serve`, `dev` with its own servers, child processes, PostgreSQL."""
