"""Weather forecasts, one file per source."""
