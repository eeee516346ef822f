"""Moves live sessions to another Redis without stopping a clock."""
