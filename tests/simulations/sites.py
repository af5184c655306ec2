"""Sites built by hand for the tests of the plant."""

from __future__ import annotations

from itertools import cycle, permutations

from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection, Topology, build_topology

ROTATIONS = (*permutations(range(3)), (0,), (1,), (2,), (0, 1), (2, 0))


def garage(count: int = 2, *, rated_a: float = 60.0, **asset: object) -> Topology:
    """One circuit with a 63 A fuse and ``count`` three-phase EVSEs of 16 A."""
    main = Circuit(
        "gcp", None, (rated_a,) * 3, protection=Protection("gG", 63.0), meter="m", background_max_a=(40.0,) * 3
    )
    facts: dict[str, object] = {"phases": (0, 1, 2), "max_a": 16.0, **asset}
    places = [Asset(f"e{k}", AssetKind.EVSE, f"d{k}", "gcp", **facts) for k in range(count)]  # type: ignore[arg-type]
    return build_topology([main], places, version="test")


def depot(evses: int = 100, leaves: int = 32) -> Topology:
    """Five levels, about 40 circuits, EVSEs of all rotations, one PV inverter and one battery."""
    circuits = [
        Circuit(
            "gcp", None, (600.0,) * 3, protection=Protection("gG", 630.0), meter="m", background_max_a=(200.0,) * 3
        ),
        Circuit(
            "hall", "gcp", (400.0,) * 3, protection=Protection("gG", 400.0), meter="m1", background_max_a=(20.0,) * 3
        ),
    ]
    rows = [Circuit(f"row{k}", "hall", (160.0,) * 3, protection=Protection("gG", 160.0)) for k in range(3)]
    boards = [Circuit(f"board{k}", f"row{k % 3}", (80.0,) * 3, protection=Protection("mcb", 80.0)) for k in range(4)]
    ends = [
        Circuit(f"end{k}", f"board{k % 4}", (40.0,) * 3, protection=Protection("mcb", 40.0, "C", 5.0))
        for k in range(leaves)
    ]
    turn = cycle(ROTATIONS)
    assets = [
        Asset(f"e{k}", AssetKind.EVSE, f"d{k}", f"end{k % leaves}", phases=next(turn), max_a=32.0) for k in range(evses)
    ]
    assets.append(Asset("pv", AssetKind.PV, "pv", "gcp", phases=(0, 1, 2), max_a=80.0, min_a=0.0, max_export_a=80.0))
    assets.append(
        Asset("bat", AssetKind.BATTERY, "bat", "gcp", phases=(0, 1, 2), max_a=80.0, min_a=0.0, max_export_a=80.0)
    )
    return build_topology([*circuits, *rows, *boards, *ends], assets, version="test")
