"""Asking the servers how they are, again and again, so that a scrape finds the answers and asks nobody."""
