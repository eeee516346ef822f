"""Webhooks: a tenant's addresses are sent the events that they asked for."""
