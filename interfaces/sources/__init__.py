"""Prices and weather from outside: requests, strict parsers, and fetching with a cache and fall-backs."""
