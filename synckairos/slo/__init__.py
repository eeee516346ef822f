"""Service level objectives: what is promised, the rules for Prometheus, and what is left of a budget."""
