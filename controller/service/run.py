"""What stands behind ``controller run`` and ``controller doctor``: read the files, then be the process asked for."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from controller.service.field import run_field
from controller.service.gateway import run_gateway
from controller.service.logs import start_logging
from controller.service.process import end_with_supervisor
from controller.service.service_file import ServiceConfig, load_service
from controller.service.site_setup import SiteRefused, SiteSetup, setup_of
from controller.service.supervisor import Supervisor, command_of
from interfaces.command_line import read_file
from interfaces.domain.site_yaml import MAX_BYTES
from interfaces.errors import UserError

EXIT_REFUSED: Final = 2
HEALTH_TIMEOUT_S: Final = 5.0


def run(site: Path | None, service: Path | None, only: str | None) -> int:
    """Run one process, or both under a supervisor; the exit code.

    Raises:
        UserError: the service or site file cannot be read.
    """
    config = load_service(service, site=site)
    setup = None if only == "gateway" else read_setup(config.site)
    if isinstance(setup, SiteRefused):
        return _refused(config.site, setup)
    listener = start_logging(only or "supervisor", config.log_level)
    try:
        if only == "field" and setup is not None:
            return run_field(config, setup)
        if only == "gateway":
            return run_gateway(config)
        end_with_supervisor(os.environ)
        arguments = [str(config.site), *([] if service is None else ["--service", str(service.absolute())])]
        return Supervisor(config, command_of("field", arguments), command_of("gateway", arguments)).run()
    finally:
        listener.stop()


def read_setup(path: Path) -> SiteSetup | SiteRefused:
    """The set-up of a site file.

    Raises:
        UserError: it cannot be read or is no UTF-8 text.
    """
    content = read_file(path, limit_bytes=MAX_BYTES)
    try:
        return setup_of(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text: save it as UTF-8") from error


def _refused(path: Path, refused: SiteRefused) -> int:
    lines = [f"{path}:{problem.line} {problem.path}: {problem.message}" for problem in refused.problems]
    sys.stderr.write("\n".join([*lines, f"{path} is refused: {len(lines)} problem(s)"]) + "\n")
    return EXIT_REFUSED


def ask_health(service: Path | None) -> dict[str, Any]:
    """What the gateway of this machine says.

    Raises:
        UserError: nobody answers.
    """
    config = load_service(service)
    host, port = _address(config)
    shown = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/health", timeout=HEALTH_TIMEOUT_S) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        content = error.read()
    except OSError as error:
        raise UserError(f"no controller answers at {shown}:{port}: is it running?") from error
    found: dict[str, Any] = json.loads(content)
    return found


def _address(config: ServiceConfig) -> tuple[str, int]:
    """Where the gateway serves; with port 0 it has written down which one it took."""
    if config.http.port:
        return config.http.host, config.http.port
    try:
        told = json.loads((config.run_dir / "gateway.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"no controller has run with {config.state_dir}") from error
    return str(told["host"]), int(told["port"])
