"""The database's schema, step by step, each step forward and back."""
