"""Training of forecasting models and writing of model files."""
