"""Features that are on for some sessions and off for others, as the file of `FEATURES_FILE` says."""
