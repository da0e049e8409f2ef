"""Campaigns of simulated lives: the catalogue of faults, the books, and lives from seeds."""
