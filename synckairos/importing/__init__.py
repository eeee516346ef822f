"""Brings the sessions of the older service, which was written in TypeScript, to this one."""
