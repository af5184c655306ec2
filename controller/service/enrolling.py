"""Enrolment as part of the gateway process: its thread, its page, and what health says of it."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Mapping

from controller.service.enrol import Enrolment, EnrolmentThread
from controller.service.enrol_page import EnrolPage
from controller.service.service_file import EnrolmentEntry, EnrolmentPage, ServiceConfig
from interfaces.drivers.clock import epoch_s
from interfaces.web.server import WebServer


class Enrolling:
    """Runs until ``close``. ``problems`` is as of the last ``look``."""

    def __init__(self, config: ServiceConfig, entry: EnrolmentEntry) -> None:
        self._enrolment = Enrolment(entry, config.enrolment_dir, epoch_s, random.Random())  # noqa: S311  no secret
        self._place = entry.page
        self._page: WebServer | None = None
        self._thread = EnrolmentThread(self._enrolment)
        self.problems: Mapping[str, str] = {}
        self.look()

    @property
    def page_port(self) -> int | None:
        """Where the page really is, while it is served."""
        return None if self._page is None else self._page.port

    def look(self) -> None:
        """Ask the disk how it stands. Serve the page once its address is there: a service interface often gets one only
        when somebody plugs in.
        """
        found = self._enrolment.problems()
        if self._place is not None and self._page is None:
            served = self._serve(self._place)
            if isinstance(served, str):
                found["enrolment_page"] = served
            else:
                self._page = served
        self.problems = found

    def close(self) -> None:
        """Ask the thread to end, and close the page."""
        self._thread.close()
        if self._page is not None:
            self._page.close()

    def _serve(self, place: EnrolmentPage) -> WebServer | str:
        page = EnrolPage(lambda: self._enrolment.view, self._enrolment.submit)
        try:
            host = str(ipaddress.ip_address(place.host))
            server = WebServer(host, place.port, page, name="enrolment-page")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return f"{place.host}:{place.port} cannot serve the enrolment page ({reason}); it is tried again"
        page.address = f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
        return server
