"""The commands of the simulations: what `stroomwacht` calls by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interfaces.command_line import command_parser
from interfaces.errors import UserError

HIGHEST_PORT = 65_535


def device_simulate(argv: list[str]) -> int:
    """Serve one virtual device alone until Ctrl-C."""
    parser = command_parser("device simulate", "Serve one virtual device on 127.0.0.1 until Ctrl-C.")
    parser.add_argument("--profile", required=True, metavar="ID", help="id of a device profile, such as alfen_eve")
    parser.add_argument("--port", required=True, type=int, metavar="P", help="TCP port; 0 takes a free one")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="hold a register of the profile at a value, in the register's unit; may be repeated",
    )
    options = parser.parse_args(argv)
    if not 0 <= options.port <= HIGHEST_PORT:
        raise UserError(f"--port is a number from 0 to {HIGHEST_PORT}, not {options.port}")
    asyncio.run(_serve_device(options.profile, options.port, options.set))
    return 0


async def _serve_device(profile_id: str, port: int, settings: Sequence[str]) -> None:
    # Loaded here so that the other commands do not pay for it.
    from interfaces.drivers.clock import epoch_s  # noqa: PLC0415
    from interfaces.drivers.p1_reading import find_p1  # noqa: PLC0415
    from simulations.devices.alone import LoneDevice, address_line, profile_named, start_all  # noqa: PLC0415
    from simulations.devices.alone_p1 import LoneMeter  # noqa: PLC0415

    if find_p1(profile_id) is not None:
        meter = LoneMeter(profile_id, settings, port=port, start_epoch_s=epoch_s())
        await meter.start()
        print(meter.address_line, flush=True)
        await meter.serve()
        return
    profile = profile_named(profile_id)
    device = LoneDevice(profile, settings)
    servers = device.servers(port)
    await start_all(servers)
    print(address_line(profile, servers), flush=True)
    await device.serve(servers)


def simulate(argv: list[str]) -> int:
    """Run a scenario in simulated time; 2 with every problem of an unusable scenario on stderr."""
    from simulations.simulate import run_command  # noqa: PLC0415

    return run_command(argv)


def bench(argv: list[str]) -> int:
    """Measure the scan or the field I/O."""
    from simulations.bench.command import run_command  # noqa: PLC0415

    return run_command(argv)


def demo(argv: list[str]) -> int:
    """A whole site on this machine, with a live view."""
    from simulations.demo.demo import run_command  # noqa: PLC0415

    return run_command(argv)
