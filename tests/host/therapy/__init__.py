"""Tests of a course: findings, refill, record, report."""
