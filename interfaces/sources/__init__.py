"""Prices and weather from outside."""
