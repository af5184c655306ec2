"""Commands of the optimizer: what stands behind `stroomwacht optimizer ...`."""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNWELL = 1


def prices(argv: list[str]) -> int:
    """`optimizer prices --source NAME`: day-ahead prices of one bidding zone; 2 when no source has them."""
    from optimizer.service.prices_command import run  # noqa: PLC0415  one command must not pay for the others

    run(argv)
    return EXIT_OK


def weather(argv: list[str]) -> int:
    """`optimizer weather --source NAME`: the weather of one place; 2 when no source has it."""
    from optimizer.service.weather_command import run  # noqa: PLC0415

    run(argv)
    return EXIT_OK


def solve(argv: list[str]) -> int:
    """`optimizer solve PROBLEM.json`: the plan of one problem; 2 when it is refused."""
    from optimizer.service.solve_command import run  # noqa: PLC0415

    run(argv)
    return EXIT_OK


def run(argv: list[str]) -> int:
    """`optimizer run --config optimizer.yaml`: plans for all its sites until it is told to stop; 2 when it cannot."""
    from optimizer.service.run_command import run as run_all  # noqa: PLC0415

    run_all(argv)
    return EXIT_OK


def worker(argv: list[str]) -> int:
    """`optimizer worker --config optimizer.yaml`: solve what waits in the store until told to stop."""
    from optimizer.service.worker_command import run as run_worker  # noqa: PLC0415

    run_worker(argv)
    return EXIT_OK


def enrolment_serve(argv: list[str]) -> int:
    """`optimizer enrolment serve --config enrolment.yaml`: certificates for new controllers until told to stop."""
    from optimizer.service.enrolment_command import serve  # noqa: PLC0415

    serve(argv)
    return EXIT_OK


def enrolment_code(argv: list[str]) -> int:
    """`optimizer enrolment code --config enrolment.yaml --serial S --controller NAME ...`: a one-time code."""
    from optimizer.service.enrolment_command import make_code  # noqa: PLC0415

    make_code(argv)
    return EXIT_OK


def enrolment_list(argv: list[str]) -> int:
    """`optimizer enrolment list --config enrolment.yaml`: devices, codes, events."""
    from optimizer.service.enrolment_command import list_devices  # noqa: PLC0415

    list_devices(argv)
    return EXIT_OK


def health(argv: list[str]) -> int:
    """`optimizer health`: 0 while the process of this container comes round, 1 when it does not."""
    from interfaces.command_line import command_parser, print_json  # noqa: PLC0415
    from optimizer.service.heartbeat import SILENT_S, silent_s  # noqa: PLC0415

    parser = command_parser("optimizer health", "Say whether the process of this container works.", figures=True)
    arguments = parser.parse_args(argv)
    age_s = silent_s()
    well = age_s is not None and age_s <= SILENT_S
    if arguments.json:
        print_json({"ok": well, "silent_s": age_s})
    else:
        print("all is well" if well else f"no sign of life {'yet' if age_s is None else f'for {age_s:.0f} s'}")
    return EXIT_OK if well else EXIT_UNWELL
