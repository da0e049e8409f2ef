"""Tests of the repository itself: imports, hygiene, documents, packaging."""
