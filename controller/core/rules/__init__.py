"""The rules of the envelope: one short file each. Order is for reading only; ``meet`` is commutative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.rules.boot import boot
from controller.core.rules.circuit import circuit, stale_meter
from controller.core.rules.evse import declared_off, fault, installation_limit, no_car, unreachable
from controller.core.rules.fire import fire
from controller.core.rules.identity import other_device, unproven_device
from controller.core.rules.lent import lent
from controller.core.rules.n_minus_1 import n_minus_1
from controller.core.rules.obedience import obedience
from controller.core.rules.operator import operator_limit, operator_stop
from controller.core.rules.orders import ordered_limit, ordered_pause, out_of_service
from controller.core.rules.peak import peak
from controller.core.rules.phase_switching import phase_switching
from controller.core.rules.protection import protection_pause, protection_reduce, protection_stop
from controller.core.state import ControllerState
from interfaces.domain.image import Image

Rule = Callable[[Image, ControllerState, Params, float], Cap]

RULES: Final[tuple[Rule, ...]] = (
    fire,
    operator_stop,
    operator_limit,
    boot,
    circuit,
    stale_meter,
    peak,
    n_minus_1,
    protection_reduce,
    protection_pause,
    protection_stop,
    no_car,
    fault,
    installation_limit,
    unreachable,
    declared_off,
    other_device,
    unproven_device,
    obedience,
    lent,
    phase_switching,
    ordered_limit,
    ordered_pause,
    out_of_service,
)
