"""The one-time activation code that an electrician types: a secret, and which authority to believe. Pure.

40 characters of Crockford's base 32 (no I, L, O, U; lower case, I, L and O are read as meant): 25 bytes, of which 10
are the secret, 13 the beginning of the SHA-256 of the authority's certificate, 2 a check of the other 23. A mistyped
code is told on the spot and costs no attempt. With the fingerprint inside, whoever stands between a box and its
enrolment service can neither pose as the service nor read the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

SECRET_BYTES: Final = 10
"""80 bits. With ten attempts per code nobody guesses it."""
PIN_BYTES: Final = 13
"""104 bits: a second authority with the same beginning takes 2**104 attempts."""
CHECK_BYTES: Final = 2
CODE_CHARACTERS: Final = (SECRET_BYTES + PIN_BYTES + CHECK_BYTES) * 8 // 5
GROUP: Final = 5
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC_4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD: Final = str.maketrans(_RFC_4648, _CROCKFORD)
_FROM_CROCKFORD: Final = str.maketrans(_CROCKFORD, _RFC_4648)
_AS_MEANT: Final = str.maketrans(
    {"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\t": None, "\n": None, "\r": None}
)


@dataclass(frozen=True, slots=True)
class ActivationCode:
    """``secret`` (10 bytes) is for the service alone; ``pin`` (13 bytes) begins the authority's fingerprint."""

    secret: bytes
    pin: bytes

    def fits(self, fingerprint: bytes) -> bool:
        """Whether a certificate with this SHA-256 is the authority the code speaks of."""
        return hmac.compare_digest(fingerprint[:PIN_BYTES], self.pin)


@dataclass(frozen=True, slots=True)
class NoCode:
    """Why a text is no activation code."""

    reason: str


def write_code(code: ActivationCode) -> str:
    """The code as people get it: eight groups of five."""
    body = code.secret + code.pin
    text = base64.b32encode(body + _check(body)).decode("ascii").translate(_TO_CROCKFORD)
    return "-".join(text[k : k + GROUP] for k in range(0, len(text), GROUP))


def read_code(text: str) -> ActivationCode | NoCode:
    """The code that somebody typed; case, hyphens and spaces do not matter."""
    typed = text.upper().translate(_AS_MEANT)
    if len(typed) != CODE_CHARACTERS:
        return NoCode(f"an activation code has {CODE_CHARACTERS} letters and digits, this has {len(typed)}")
    strange = next((letter for letter in typed if letter not in _CROCKFORD), None)
    if strange is not None:
        return NoCode(f"'{strange}' does not occur in activation codes")
    try:
        raw = base64.b32decode(typed.translate(_FROM_CROCKFORD))
    except binascii.Error:
        return NoCode("this is no activation code")
    body, check = raw[:-CHECK_BYTES], raw[-CHECK_BYTES:]
    if check != _check(body):
        return NoCode("the activation code has a typing mistake")
    return ActivationCode(body[:SECRET_BYTES], body[SECRET_BYTES:])


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"stroomwacht activation" + body).digest()[:CHECK_BYTES]
