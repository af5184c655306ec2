"""Signed messages: an envelope around a text, and who may have written it.

``{"key_id": ..., "signature": base64, "body": text}``. Ed25519 (RFC 8032) over a domain word and the UTF-8 bytes of the
body, so that a signature of one kind of message is worth nothing on another. A broker that is taken over can hold
messages back; it cannot write one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from interfaces.domain.codec import CodecError, RefusedError
from interfaces.domain.codec_json import MAX_JSON_BYTES, parse_json
from interfaces.drivers.pki import key_id_of, public_keys
from interfaces.errors import UserError

SignedKind: TypeAlias = Literal["plan", "targets", "command"]
_PREFIX: Final = "stroomwacht/1/"
_KEYS: Final = frozenset({"key_id", "signature", "body"})


@dataclass(frozen=True, slots=True)
class Opened:
    """A body whose signature holds, and the key that made it."""

    body: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Signer:
    """The private side; the optimizer's alone."""

    key: ed25519.Ed25519PrivateKey
    key_id: str

    @classmethod
    def of_file(cls, path: Path) -> Signer:
        """The signer whose key is in a file.

        Raises:
            UserError: the file cannot be read or holds no Ed25519 key.
        """
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is no key") from error
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise UserError(f"{path} is no Ed25519 key: 'stroomwacht pki init' makes one")
        return cls(key, key_id_of(key.public_key()))

    def sign(self, kind: SignedKind, body: str) -> bytes:
        """The envelope to send."""
        signature = base64.b64encode(self.key.sign(_signed(kind, body))).decode("ascii")
        envelope = {"key_id": self.key_id, "signature": signature, "body": body}
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public side: keys by id. Two are known while a fleet moves from one to the next."""

    keys: Mapping[str, ed25519.Ed25519PublicKey]

    @classmethod
    def of_file(cls, path: Path) -> Verifier:
        """The keys of a ``signing.pub``.

        Raises:
            UserError: the file cannot be read or holds no key.
        """
        try:
            return cls(public_keys(path.read_bytes()))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error

    def open(self, kind: SignedKind, payload: bytes) -> Opened | CodecError:
        """The body of an envelope, or why it is not believed."""
        if len(payload) > MAX_JSON_BYTES:
            return CodecError(f"larger than {MAX_JSON_BYTES} bytes")
        try:
            raw = parse_json(payload, max_depth=1)
        except RefusedError as refused:
            return refused.as_value()
        if not isinstance(raw, dict) or raw.keys() != _KEYS or not all(isinstance(v, str) for v in raw.values()):
            return CodecError("it is no signed message")
        key = self.keys.get(raw["key_id"])
        if key is None:
            return CodecError(f"key {raw['key_id'][:40]!r} is not known here")
        try:
            key.verify(base64.b64decode(raw["signature"], validate=True), _signed(kind, raw["body"]))
        except (InvalidSignature, binascii.Error, ValueError):
            return CodecError("the signature does not hold")
        return Opened(raw["body"], raw["key_id"])


def _signed(kind: SignedKind, body: str) -> bytes:
    return f"{_PREFIX}{kind}\n{body}".encode()
