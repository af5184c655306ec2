"""The page for the activation code, over HTTP as a browser on the service interface sees it; and the gateway's part."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from controller.service.enrol import View
from controller.service.enrol_files import Identity
from controller.service.enrol_page import EnrolPage
from controller.service.enrolling import Enrolling
from controller.service.service_file import EnrolmentEntry, EnrolmentPage, ServiceConfig
from interfaces.web.server import WebServer
from tests.controller.service.enrol_kit import LOCAL, SERIAL, served

PATIENCE_S = 180.0
FORM = "application/x-www-form-urlencoded"
NOT_YET = View(SERIAL, None, waiting=False, problem="")
SOMEBODY = Identity(
    "depot-7", "acme", "depot", "broker", 8883, Path(), Path(), Path(), Path(), datetime(2029, 1, 2, tzinfo=UTC)
)


class Browser:
    """Asks a page."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str = "GET", path: str = "/", body: str = "", **headers: str) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=120)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, names)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.ask()[1])
        assert found is not None
        return found[1]

    def post(self, fields: dict[str, str], **headers: str) -> tuple[int, str, Any]:
        return self.ask("POST", "/", urlencode(fields), Content_Type=FORM, **headers)


class Page(Browser):
    """A served page with a view that tests choose."""

    def __init__(self) -> None:
        self.view = NOT_YET
        self.typed: list[str] = []
        self.problem: str | None = None
        app = EnrolPage(lambda: self.view, self._submit)
        self.server = WebServer(LOCAL, 0, app, name="page")
        super().__init__(self.server.port)
        self.address = app.address = f"{LOCAL}:{self.port}"

    def _submit(self, code: str) -> str | None:
        self.typed.append(code)
        return self.problem


@pytest.fixture
def page() -> Iterator[Page]:
    found = Page()
    yield found
    found.server.close()


def test_the_page_asks_for_a_code_and_takes_it(page):
    status, text, _ = page.ask()
    assert status == 200
    assert SERIAL in text
    assert "not enrolled" in text
    status, _, headers = page.post({"code": "ABC", "token": page.token()}, Origin=f"http://{page.address}")
    assert (status, headers["Location"]) == (303, "/")
    assert page.typed == ["ABC"]


def test_no_script_runs_and_nobody_frames_it(page):
    _, text, headers = page.ask()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "<script" not in text
    assert "://" not in text, "nothing leaves the host"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_a_form_of_another_page_enters_no_code(page):
    token = page.token()
    assert page.post({"code": "ABC"})[0] == 403
    assert page.post({"code": "ABC", "token": "x"})[0] == 403
    assert page.post({"code": "ABC", "token": token}, Origin="http://evil.example")[0] == 403
    assert page.post({"code": "ABC", "token": token}, Origin="null")[0] == 403
    assert page.typed == []


def test_a_name_that_somebody_points_here_is_not_answered(page):
    """Without this a page of that name could read ours (DNS rebinding)."""
    status, text, _ = page.ask(Host="evil.example")
    assert status == 421
    assert "token" not in text
    assert page.ask(Host=f"evil.example:{page.port}")[0] == 421


def test_problems_are_told_and_nothing_is_markup(page):
    page.problem = "<b>no & no</b>"
    status, text, _ = page.post({"code": "x", "token": page.token()})
    assert status == 422
    assert "&lt;b&gt;no &amp; no&lt;/b&gt;" in text
    assert "<b>" not in text


def test_while_it_asks_the_page_renews_itself_and_has_no_form(page):
    page.view = View(SERIAL, None, waiting=True, problem="")
    text = page.ask()[1]
    assert 'http-equiv="refresh"' in text
    assert "<form" not in text
    page.view = View(SERIAL, None, waiting=True, problem="the service does not answer")
    text = page.ask()[1]
    assert "refresh" not in text, "it would throw away what is typed"
    assert "The service does not answer." in text
    assert "<form" in text


def test_an_enrolled_box_says_who_it_is(page):
    page.view = View(SERIAL, SOMEBODY, waiting=False, problem="")
    text = page.ask()[1]
    assert all(word in text for word in ("depot-7", "acme", "2029-01-02", "Enrol again"))


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "/x", "", "", 404),
        ("GET", "/metrics", "", "", 404),
        ("DELETE", "/", "", "", 405),
        ("POST", "/", "code=ABC", "text/plain", 400),
        ("POST", "/", "a=1&b=2&c=3&d=4&e=5", FORM, 400),
        ("POST", "/", "x" * 2001, FORM, 400),
        ("POST", "/", "", FORM, 403),
    ],
)
def test_anything_else_is_refused(page, method, path, body, kind, status):
    assert page.ask(method, path, body, Content_Type=kind)[0] == status
    assert page.typed == []


# -- in the gateway ---------------------------------------------------------------------------------------------------


def wait_for(what: Callable[[], Any], why: str) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if found := what():
            return found
        threading.Event().wait(0.02)
    raise AssertionError(why)


def test_an_electrician_enrols_a_box_with_a_browser(tmp_path):
    (tmp_path / "cloud").mkdir()
    with served(tmp_path / "cloud") as cloud:
        entry = EnrolmentEntry(cloud.address, SERIAL, None, EnrolmentPage(LOCAL, 0))
        enrolling = Enrolling(ServiceConfig(state_dir=tmp_path / "box"), entry)
        try:
            assert "not enrolled yet; enter the activation code at http://" in enrolling.problems["enrolment"]
            browser = Browser(enrolling.page_port or 0)
            done, _, _ = browser.post({"code": cloud.code(), "token": browser.token()})
            assert done == 303
            wait_for(lambda: "Enrol again" in browser.ask()[1], "no enrolment")
            assert "depot-7" in browser.ask()[1]
            enrolling.look()
            assert enrolling.problems == {}
        finally:
            enrolling.close()


def test_the_page_comes_with_its_interface(tmp_path):
    """A service interface often has no address until somebody plugs in; the gateway must run all the same."""
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        taken.listen()
        entry = EnrolmentEntry("127.0.0.1:1", SERIAL, None, EnrolmentPage(LOCAL, taken.getsockname()[1]))
        enrolling = Enrolling(ServiceConfig(state_dir=tmp_path / "box"), entry)
        assert "cannot serve the enrolment page" in enrolling.problems["enrolment_page"]
        assert enrolling.page_port is None

    def look() -> int | None:
        enrolling.look()
        return enrolling.page_port

    try:
        wait_for(look, "the page")
        assert "enrolment_page" not in enrolling.problems
    finally:
        enrolling.close()
