"""A controller and a plant in a closed loop in simulated time: no sockets, every scan a step.

The plant judges by its own true currents; a test reads orders and alarms as a person would see them. ``Loop`` keeps the
lease rule of the field process: commands without a lease are written nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from controller.core.params import Params
from controller.core.scan import scan
from controller.core.state import ControllerState, initial
from controller.service.health import told
from interfaces.domain.command import Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology
from interfaces.domain.units import MILLI
from simulations.plant.building import BuildingLoad
from simulations.plant.ev import Arrival, CarTraits
from simulations.plant.metrics import Overloads
from simulations.plant.site import Environment, Plant
from simulations.plant.view import FieldView, Orders, Polling

EPOCH_S = 1_760_000_000.0
NEVER = 1e9
BACK_WITHIN_S = 14.0
"""A step from outside is corrected within this long of the sample that shows it."""
MOST_THETA = 0.3
"""Share of the protective device's patience that a corrected step may use up."""
THREE = (0, 1, 2)


def connection(rated_a: float = 63.0, **facts: Any) -> Circuit:
    """A metered grid connection behind a gG fuse of its rating; at worst a third of it is background."""
    usual: dict[str, Any] = {
        "protection": Protection("gG", rated_a),
        "meter": "m",
        "background_max_a": (rated_a / 3,) * 3,
    }
    return Circuit("gcp", None, (rated_a,) * 3, **{**usual, **facts})


def charger(name: str, phases: tuple[int, ...] = THREE, max_a: float = 16.0, **facts: Any) -> Asset:
    """A charger with a proven failsafe of 0 A that keeps nothing over a restart."""
    usual: dict[str, Any] = {"circuit": "gcp", "failsafe_verifiable": True, "boot_a": 0.0}
    return Asset(name, AssetKind.EVSE, f"d-{name}", phases=phases, max_a=max_a, **{**usual, **facts})


def site(circuits: Sequence[Circuit], assets: Sequence[Asset], *, version: str = "test") -> Topology:
    """A topology from parts."""
    return build_topology(circuits, assets, version=version)


def garage(count: int, rated_a: float = 63.0, *, background_max_a: float | None = None, **facts: Any) -> Topology:
    """``count`` three-phase chargers e0, e1 ... directly behind the grid connection."""
    worst_a = rated_a / 3 if background_max_a is None else background_max_a
    main = connection(rated_a, background_max_a=(worst_a,) * 3)
    return site([main], [charger(f"e{k}", **facts) for k in range(count)])


def car(asset: str, start_s: float = 0.0, **facts: Any) -> Arrival:
    """A car that wants more than it will ever get; traits by name."""
    own = {k: facts.pop(k) for k in tuple(facts) if k in CarTraits.__dataclass_fields__ and k != "max_a"}
    usual: dict[str, Any] = {"end_s": NEVER, "energy_wh": 1e6, "max_a": 32.0, "traits": CarTraits(**own)}
    return Arrival(asset, start_s, **{**usual, **facts})


def building(base_a: float | tuple[float, float, float] = 5.0, circuit: str = "gcp", **facts: Any) -> BuildingLoad:
    """A load with a little noise and no daily shape."""
    three = (base_a,) * 3 if isinstance(base_a, float | int) else base_a
    return BuildingLoad(circuit, three, **{"noise_a": 0.2, "shape": "flat", **facts})


class Loop:
    """``run`` and ``until`` move time; the rest reads the plant's truth and the last scan.

    ``first_s``: every sentence an alarm ever said, with the time it was first said. ``orders``: inputs that do not come
    from the plant. ``edit``: changes every image before the scan sees it. ``each``: called after every step.
    """

    def __init__(
        self,
        topology: Topology,
        cars: Sequence[Arrival] = (),
        loads: Sequence[BuildingLoad] = (),
        *,
        scan_s: float = 0.2,
        seed: int = 1,
        polling: Polling | None = None,
        params: Params | None = None,
        **surroundings: Any,
    ) -> None:
        around = Environment(loads=tuple(loads), start_epoch_s=EPOCH_S, start_day_s=12 * 3600.0, **surroundings)
        self.topology, self.scan_s = topology, scan_s
        self.plant = Plant(topology, cars, seed=seed, environment=around, step_s=scan_s)
        self.view = FieldView(self.plant, seed, polling)
        self.params = Params.of(topology) if params is None else params
        self.state: ControllerState = initial(self.params, 0.0)
        self.orders = Orders()
        self.edit: Callable[[Image], Image] | None = None
        self.each: Callable[[Loop], None] | None = None
        self.first_s: dict[str, float] = {}
        self.highest_theta = 0.0
        self.commands: Commands
        self.report: Report
        self.image: Image
        self._steps = 0

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The plant's present time."""
        return self.plant.now_s

    def run(self, seconds: float) -> Loop:
        """Move on."""
        for _ in range(round(seconds / self.scan_s)):
            self.step()
        return self

    def until(self, condition: Callable[[], bool], most_s: float) -> float:
        """Move on until ``condition``; seconds that took. Fails when ``most_s`` pass without it."""
        begun_s = self.now_s
        while True:
            self.step()
            if condition():
                return self.now_s - begun_s
            assert self.now_s - begun_s <= most_s, f"not within {most_s} s: {self.words()} {sorted(self.alarms())}"

    def step(self) -> None:
        """One scan, its writes, and the time until the next."""
        image = self.view.image(self.orders)
        self.image = image if self.edit is None else self.edit(image)
        self.commands, self.report, self.state = scan(
            self.image, self.state, self.params, self.now_s, EPOCH_S + self.now_s
        )
        if self.commands.valid_until_s > self.now_s:
            self.view.apply(self.on_wire(self.commands))
        for text in self.alarms():
            self.first_s.setdefault(text, self.now_s)
        self.let_pass()
        self.highest_theta = max(self.highest_theta, float(self.report.theta_ppm.max()) / 1e6)
        if self.each is not None:
            self.each(self)

    def let_pass(self) -> None:
        """One period without a controller."""
        self._steps += 1
        self.plant.step(self.scan_s, self._steps * self.scan_s)

    def on_wire(self, commands: Commands) -> Commands:
        """What the devices of the plant hear."""
        return commands

    # -- what is ordered and said ------------------------------------------------------------------------------------

    def col(self, name: str) -> int:
        """Column of an asset."""
        return self.topology.index[name]

    def line(self, name: str) -> int:
        """Line of a circuit."""
        return self.topology.circuit_index[name]

    def told_a(self, name: str) -> float:
        """The setpoint."""
        return int(self.commands.setpoint_ma[self.col(name)]) / MILLI

    def reason(self, name: str) -> Reason:
        """Why."""
        return Reason(int(self.commands.reason[self.col(name)]))

    def exposure_a(self, name: str) -> float:
        """What the ledger counts for it."""
        return int(self.report.asset_exposure_ma[self.col(name)]) / MILLI

    def budget_a(self, circuit: str = "gcp") -> Any:
        """What the circuit's phases have left for flexible assets."""
        return self.report.budget_ma[self.line(circuit)] / MILLI

    def words(self) -> dict[str, tuple[float, str]]:
        """Every asset's setpoint with its reason."""
        return {a.id: (self.told_a(a.id), self.reason(a.id).name) for a in self.topology.assets}

    def alarms(self) -> set[str]:
        """Active alarms as sentences."""
        return {told(alarm, self.topology, self.image) for alarm in self.report.alarms}

    # -- what is true ------------------------------------------------------------------------------------------------

    def drawn_a(self, name: str) -> float:
        """True current on its busiest conductor."""
        return float(np.abs(self.plant.draw_a[self.col(name)]).max())

    def row_a(self, circuit: str = "gcp") -> Any:
        """True currents of a circuit."""
        return self.plant.row_a[self.line(circuit)]

    def judged(self) -> Overloads:
        """The plant's verdict so far."""
        return self.plant.judge.result()

    def within(self) -> bool:
        """Whether no true current is above rated."""
        return bool((self.plant.row_a <= self.topology.rated_ma / MILLI).all())

    def add_load(self, amps: float | tuple[float, float, float], circuit: str = "gcp") -> None:
        """A sudden load from outside."""
        self.plant.added_a[self.line(circuit)] += amps
