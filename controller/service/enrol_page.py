"""The page on which an electrician enters the activation code: one form, no scripts, for the service interface alone.

Only requests to the very address that is served are answered (a name that somebody points here is not), and only forms
that this page gave out: a page elsewhere in the same browser cannot enter a code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from controller.service.enrol import View

MAX_FORM_BYTES: Final = 2000
HTTP_PORT: Final = 80
STYLE: Final = """
:root{color-scheme:light dark;font:18px/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:34rem;padding:1rem}
dt{font-weight:bold}dd{margin:0 0 .5rem}
input,button{box-sizing:border-box;font:inherit;padding:.6rem;width:100%}
input{font-family:ui-monospace,monospace;letter-spacing:.05em;text-transform:uppercase}
button{margin-top:.8rem}
[role=alert]{border-left:.4rem solid;padding-left:.6rem}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
REFRESH: Final = '<meta http-equiv="refresh" content="3">'

Reply = tuple[HTTPStatus, str]


class EnrolPage:
    """The WSGI application. ``submit`` takes a code and says why it does not; ``address``: set once it is known."""

    def __init__(self, view: Callable[[], View], submit: Callable[[str], str | None]) -> None:
        self._view = view
        self._submit = submit
        self._token = secrets.token_urlsafe(16)
        self.address = ""

    def __call__(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, text = self._reply(environment)
        body = text.encode()
        place = [("Location", "/")] if status is HTTPStatus.SEE_OTHER else []
        start(f"{status.value} {status.phrase}", [*HEADERS, *place, ("Content-Length", str(len(body)))])
        return [body]

    def _reply(self, environment: WSGIEnvironment) -> Reply:
        if environment.get("HTTP_HOST") not in {self.address, self.address.removesuffix(f":{HTTP_PORT}")}:
            return HTTPStatus.MISDIRECTED_REQUEST, _document("", f"<p>This page is at http://{escape(self.address)}/")
        method, path = environment.get("REQUEST_METHOD"), environment.get("PATH_INFO")
        if path != "/":
            return HTTPStatus.NOT_FOUND, _document("", '<p>There is only <a href="/">one page</a>.')
        if method == "GET":
            return HTTPStatus.OK, self._page(None)
        if method == "POST":
            return self._posted(environment)
        return HTTPStatus.METHOD_NOT_ALLOWED, _document("", "<p>That cannot be done.")

    def _posted(self, environment: WSGIEnvironment) -> Reply:
        form = _form(environment)
        if form is None:
            return HTTPStatus.BAD_REQUEST, self._page("the form arrived damaged, try again")
        origin = environment.get("HTTP_ORIGIN")
        ours = origin is None or origin == f"http://{self.address}".removesuffix(f":{HTTP_PORT}")
        if not ours or not hmac.compare_digest(form.get("token", "").encode(), self._token.encode()):
            return HTTPStatus.FORBIDDEN, self._page("the form is not of this page or too old, try again")
        problem = self._submit(form.get("code", ""))
        if problem is not None:
            return HTTPStatus.UNPROCESSABLE_ENTITY, self._page(problem)
        return HTTPStatus.SEE_OTHER, ""

    def _page(self, problem: str | None) -> str:
        view = self._view()
        identity = view.identity
        rows = [("Serial number", view.serial), ("State", _state(view))]
        if identity is not None:
            rows += [("Controller", identity.controller), ("Site", identity.site), ("Operator", identity.organisation)]
            rows += [("Certificate valid until", f"{identity.until:%Y-%m-%d}")]
        facts = "".join(f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in rows)
        told = problem or view.problem
        alert = f'<p role="alert">{escape(told[:1].upper() + told[1:])}.</p>' if told else ""
        # Not while there is a form: a refresh would throw away what is being typed.
        return _document(REFRESH if _asking(view) else "", f"<dl>{facts}</dl>{alert}{self._form(view)}")

    def _form(self, view: View) -> str:
        if _asking(view):
            return ""
        word = "Enrol again with a new code" if view.identity is not None else "Activation code"
        return (
            f'<form method="post" action="/"><label for="code">{word}</label>'
            '<input id="code" name="code" required maxlength="120" autocomplete="off" autocapitalize="characters" '
            'spellcheck="false" placeholder="XXXXX-XXXXX-XXXXX-…">'
            f'<input type="hidden" name="token" value="{escape(self._token)}"><button>Enrol</button></form>'
        )


def _asking(view: View) -> bool:
    return view.waiting and not view.problem


def _state(view: View) -> str:
    if view.waiting:
        return "asking the enrolment service" if _asking(view) else "trying again"
    return "enrolled" if view.identity is not None else "not enrolled"


def _form(environment: WSGIEnvironment) -> dict[str, str] | None:
    text = str(environment.get("CONTENT_LENGTH") or "")
    kind = str(environment.get("CONTENT_TYPE", "")).partition(";")[0]
    if not text.isascii() or not text.isdigit() or int(text) > MAX_FORM_BYTES:
        return None
    if kind != "application/x-www-form-urlencoded":
        return None
    try:
        fields = parse_qs(environment["wsgi.input"].read(int(text)).decode(), max_num_fields=4)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}


def _document(head: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stroomwacht: enrolment</title>'
        f'<meta name="viewport" content="width=device-width">{head}<style>{STYLE}</style></head>'
        f"<body><h1>Enrolment</h1>{body}</body></html>"
    )
