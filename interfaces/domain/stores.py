"""What a stationary battery loses where nobody knows better: plans and sites reckon with the same."""

from __future__ import annotations

from typing import Final

BATTERY_EFFICIENCY: Final[float] = 0.95
"""Each way, 0.90 for a round trip: the usual warranty figure of lithium storage at its AC side."""
BATTERY_WEAR_EUR_PER_KWH: Final[float] = 0.02
"""Per kWh charged or discharged: 300 EUR/kWh over 7500 full cycles."""
