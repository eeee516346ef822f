"""The steps of the database's schema. Each step can be made forward and back."""
