"""One short file per rule; every rule only shrinks what an asset may do."""
