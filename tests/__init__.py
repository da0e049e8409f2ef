"""The tests; helpers of one part are imported as `tests.<part>.<module>`."""
