"""Tests that are written once and run on every core: `pytest tests/cores --core=board --port=...` for a real pump."""
