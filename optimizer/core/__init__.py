"""The pure planning problem: rows, costs and rounding; no clock and no I/O."""
