"""Enrolment on the box: from a typed code to a certificate, and a new certificate before the old one ends.

No command line: a code comes from the local page (``enrol_page``) or stands in the service file of a box prepared in a
workshop. The key is made here and never leaves. Whatever fails is tried again; only a definite no ends a code.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from controller.service import enrol_files as files
from controller.service.enrol_client import Pair, Service, Trouble, ask, fetch_authority
from controller.service.enrol_files import Identity
from controller.service.service_file import EnrolmentEntry, host_port
from interfaces.domain.activation import ActivationCode, NoCode, read_code, write_code
from interfaces.domain.enrolment import ENROL_PATH, RENEW_PATH, Enrolled, EnrolRequest, RenewRequest
from interfaces.drivers import pki
from interfaces.errors import UserError

log = logging.getLogger(__name__)

RENEW_BEFORE: Final = timedelta(days=60)
"""A month of attempts before anybody is warned, and two before the certificate ends."""
WARN_BEFORE: Final = timedelta(days=pki.WARN_DAYS)
RETRY_MIN_S: Final = 5.0
RETRY_MAX_S: Final = 300.0
LOOK_EVERY_S: Final = 3600.0
CLOCK_OFF_S: Final = 450.0
"""Half a quarter of an hour: beyond it plans and prices would be of the wrong quarter."""


@dataclass(frozen=True, slots=True)
class View:
    """What the page and health show. ``waiting``: a code was entered and is not answered yet."""

    serial: str
    identity: Identity | None
    waiting: bool
    problem: str


class Enrolment:
    """One box. ``step`` is one attempt at whatever is due, for tests with their own clock; ``clock`` is UTC."""

    def __init__(self, entry: EnrolmentEntry, folder: Path, clock: Callable[[], float], rng: random.Random) -> None:
        self._entry = entry
        self._service = Service(*host_port(entry.server))
        self._folder = folder
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._attempts = 0
        self._problem = ""
        self._clock_off = ""
        self.wake = threading.Event()
        """Set when there is something new to do."""
        self._from_service_file()

    @property
    def view(self) -> View:
        """How it stands; read from disk, so that it is what a restart would find."""
        found = files.read_identity(self._folder)
        problem = self._problem or (found if isinstance(found, str) else "")
        identity = found if isinstance(found, Identity) else None
        return View(self._entry.serial, identity, bool(files.pending_code(self._folder)), problem)

    def problems(self) -> dict[str, str]:
        """Condition -> sentence, for health."""
        view = self.view
        found = {"clock_off": self._clock_off} if self._clock_off else {}
        if view.identity is None:
            where = "enter the activation code" + (f" at http://{self._page()}" if self._entry.page else "")
            doing = f"not enrolled yet: {view.problem}" if view.problem else "not enrolled yet"
            return found | {"enrolment": doing if view.waiting else f"{doing}; {where}"}
        left = view.identity.until - self._now()
        if left <= WARN_BEFORE:
            why = f" ({view.problem})" if view.problem else ""
            found["certificate"] = f"the certificate of {view.identity.controller} ends in {left.days} days{why}"
        if view.waiting and view.problem:
            found["enrolment"] = f"the new activation code is not answered: {view.problem}"
        return found

    def submit(self, text: str) -> str | None:
        """Take a code that somebody typed; why not, in a sentence. The answer comes with a later ``view``."""
        code = read_code(text)
        if isinstance(code, NoCode):
            return code.reason
        identity = files.read_identity(self._folder)
        if isinstance(identity, Identity) and not code.fits(_fingerprint_in(identity.ca_file)):
            return "this box belongs to another operator: reset it to factory state first"
        try:
            with self._lock:
                files.remember_code(self._folder, write_code(code))
        except (OSError, UserError) as error:
            return f"the code cannot be kept: {error}"
        self._problem, self._attempts = "", 0
        self.wake.set()
        return None

    def step(self) -> float:
        """Do what is due; after how many seconds to look again."""
        typed = files.pending_code(self._folder)
        code = read_code(typed) if typed else None
        identity = files.read_identity(self._folder)
        try:
            if isinstance(code, ActivationCode):
                outcome = None if files.was_used(self._folder, typed) else self._enrol(code)
                if outcome is None or outcome.final:
                    with self._lock:
                        files.forget_code(self._folder, typed, refused=outcome is not None)
            elif isinstance(identity, Identity) and identity.until - self._now() <= RENEW_BEFORE:
                outcome = self._renew(identity)
            else:
                return LOOK_EVERY_S
        except (OSError, UserError) as error:
            outcome = Trouble(f"the disk refuses: {error}")
        return self._tell(outcome)

    def _tell(self, outcome: Trouble | None) -> float:
        before, self._problem = self._problem, "" if outcome is None else outcome.text
        if outcome is None:
            self._attempts = 0
            return LOOK_EVERY_S
        if self._problem != before:
            log.warning("enrolment problem=%r", outcome.text)
        if outcome.final:
            return LOOK_EVERY_S
        self._attempts += 1
        most_s = min(RETRY_MAX_S, RETRY_MIN_S * 2.0 ** min(self._attempts, 10))
        return RETRY_MIN_S + self._rng.random() * (most_s - RETRY_MIN_S)

    def _enrol(self, code: ActivationCode) -> Trouble | None:
        authority = fetch_authority(self._service, code, self._clock)
        if isinstance(authority, Trouble):
            return authority
        key = files.next_key(self._folder)
        question = EnrolRequest(self._entry.serial, code.secret.hex(), files.request_for(key, self._entry.serial))
        answer = ask(self._service, ENROL_PATH, question, authority, None, self._clock)
        return answer if isinstance(answer, Trouble) else self._use(answer, key, write_code(code))

    def _renew(self, identity: Identity) -> Trouble | None:
        key = files.next_key(self._folder)
        question = RenewRequest(files.request_for(key, self._entry.serial))
        shown = Pair(identity.cert_file, identity.key_file)
        authority = identity.ca_file.read_text(encoding="ascii")
        answer = ask(self._service, RENEW_PATH, question, authority, shown, self._clock)
        return answer if isinstance(answer, Trouble) else self._use(answer, key)

    def _use(self, answer: Enrolled, key: ec.EllipticCurvePrivateKey, code: str = "") -> Trouble | None:
        fault = files.fault_in(answer, key)
        if fault is not None:
            return Trouble(f"{self._service} gave an answer that cannot be used: {fault}")
        files.take_into_use(self._folder, answer, key, code)
        off_s = abs(answer.server_epoch_s - self._clock())
        self._clock_off = f"the clock was {off_s:.0f} s off when we enrolled" if off_s > CLOCK_OFF_S else ""
        log.info("enrolment enrolled controller=%s site=%s", answer.controller, answer.site)
        return None

    def _from_service_file(self) -> None:
        """A box prepared in a workshop has its code there; one that was refused is not tried at each start."""
        code = self._entry.activation
        if code is None or files.read_identity(self._folder) is not None or files.pending_code(self._folder):
            return
        read = read_code(code)
        if isinstance(read, ActivationCode) and files.was_refused(self._folder, write_code(read)):
            self._problem = "the activation code of the service file was refused"
            return
        self._problem = self.submit(code) or ""

    def _page(self) -> str:
        page = self._entry.page
        return "" if page is None else f"{page.host}:{page.port}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


class EnrolmentThread:
    """Runs the steps until ``close``; a request that hangs ends with the process."""

    def __init__(self, enrolment: Enrolment) -> None:
        self._enrolment = enrolment
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="enrolment", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._enrolment.wake.set()

    def _run(self) -> None:
        wait_s = 0.0
        while True:
            self._enrolment.wake.wait(wait_s)
            self._enrolment.wake.clear()
            if self._ended:
                return
            try:
                wait_s = self._enrolment.step()
            except Exception:
                log.exception("enrolment failed")
                wait_s = RETRY_MAX_S


def _fingerprint_in(path: Path) -> bytes:
    try:
        return pki.fingerprint(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError):
        return b""
