"""Pure forecasting: features, models applied to arrays, scores."""
