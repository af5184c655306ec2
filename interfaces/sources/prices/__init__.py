"""Day-ahead prices, one file per source."""
