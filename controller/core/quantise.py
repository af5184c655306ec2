"""Setpoints as devices take them: towards 0 to the device's step; below the minimum is a pause."""

from __future__ import annotations

import numpy as np

from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, Ints


def quantise(setpoint_ma: Ints, topology: Topology) -> Ints:
    """(N,) mA. 0 < x < minimum becomes 0 (IEC 61851-1 knows nothing between 0 and 6 A); never away from 0; a missing
    value is no command.
    """
    inside = np.clip(np.where(setpoint_ma == MISSING, 0, setpoint_ma), -topology.max_export_ma, topology.max_ma)
    magnitude = np.abs(inside)
    stepped = magnitude // topology.step_ma * topology.step_ma
    stepped = np.where(topology.is_evse & (stepped < topology.min_ma), 0, stepped)
    result: Ints = np.where(setpoint_ma < 0, -stepped, stepped)
    return result
