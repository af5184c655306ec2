"""Forecasts of PV, building load and charging demand."""
