"""Shared vocabulary: frozen data that imports nothing of ours."""
