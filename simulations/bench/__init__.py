"""Benchmarks: figures and ratios, never a timed test."""
