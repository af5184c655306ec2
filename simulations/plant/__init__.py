"""Plant models: cars, chargers, battery, PV, building, grid, breakers."""
