"""What an image says was measured at the assets: voltages that can be believed, and power."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.image import Image
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, MISSING, Ints

LOW_VOLTAGE_PERCENT: Final[int] = 85
"""EN 50160 knows no supply below 85 % of nominal; such a reading is no voltage."""


def volts_mv(image: Image, topology: Topology) -> Ints:
    """(N, 3) measured voltages; nominal where none is measured or a charger at rest reports next to nothing."""
    believed = image.asset_mv >= topology.nominal_mv * LOW_VOLTAGE_PERCENT // 100
    return np.where(believed, image.asset_mv, topology.nominal_mv)


def power_mw(image: Image, topology: Topology) -> Ints:
    """(N,) measured power from phase currents and voltages; nominal voltage where unmeasured, 0 where no current is."""
    current = np.where(image.asset_ma == MISSING, 0, image.asset_ma)
    result: Ints = (current * volts_mv(image, topology)).sum(axis=1) // MILLI
    return result


def busiest_ma(image: Image) -> Ints:
    """(N,) current on the busiest conductor of each asset, 0 where nobody knows."""
    result: Ints = np.where(image.asset_ma == MISSING, 0, image.asset_ma).max(axis=1)
    return result
