"""The cloud optimizer: forecasts in, signed plans out."""
