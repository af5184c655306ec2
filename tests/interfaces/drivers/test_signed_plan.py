"""A plan from columns to signed bytes and back: nothing changes on the way, nothing else gets through."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.codec import CodecError, digest
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text, plan_text
from interfaces.drivers.pki import key_id_of
from interfaces.drivers.signing import Opened, Signer, Verifier
from interfaces.errors import UserError

# RFC 8032 section 7.1, test 1: secret, public and the signature of the empty message.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
SIGNER = Signer(KEY, key_id_of(KEY.public_key()))
VERIFIER = Verifier({SIGNER.key_id: KEY.public_key()})


def plan(steps: int = 4, assets: tuple[str, ...] = ("a", "b"), seed: int = 0, **changes: Any) -> Plan:
    rng = np.random.default_rng(seed)
    made = Plan(
        plan_id="p1",
        site="depot",
        topology_version="v1",
        sequence=7,
        key_id=SIGNER.key_id,
        issued_epoch_s=1_795_415_400.0,
        start_epoch_s=1_795_415_400.0,
        step_s=900,
        valid_until_epoch_s=1_795_415_400.0 + 900 * steps,
        lease_until_epoch_s=1_795_416_300.5,
        assets=assets,
        setpoint_ma=rng.integers(-2, 3, (steps, len(assets))) * 6000,
        value_ppm=rng.integers(0, 2, (steps, len(assets))) * 250_000,
        planned_import_mw=rng.integers(-9, 9, steps) * 1_000_000,
        grid_ppm=rng.integers(-9, 9, (steps, 3)) * 1000,
        calm_import_mw=rng.integers(0, 3, steps) * 10**9,
    )
    return replace(made, **changes)


def same(a: Plan, b: Plan) -> bool:
    return digest(a) == digest(b)


def test_golden_text() -> None:
    golden = plan(
        3,
        setpoint_ma=np.array([[16000, 0], [16000, 0], [0, -6000]]),
        value_ppm=np.array([[250000, 1], [250000, 1], [250000, 1]]),
        planned_import_mw=np.array([1, 1, 2]),
        grid_ppm=np.array([[30_000, 250_000, 9], [30_000, 250_000, 9], [30_000, -10, 9]]),
        calm_import_mw=np.array([5, 5, 5]),
    )
    assert plan_text(golden) == (
        '{"beyond_ppm":[[0],[9]],"calm_import_mw":[[0],[5]],"export_ppm":[[0],[30000]],'
        '"import_ppm":[[0,2],[250000,-10]],'
        '"issued_epoch_s":1795415400.0,"lease_until_epoch_s":1795416300.5,"plan_id":"p1",'
        '"planned_import_mw":[[0,2],[1,2]],"schema":1,"sequence":7,'
        '"setpoint_ma":{"a":[[0,2],[16000,0]],"b":[[0,2],[0,-6000]]},"site":"depot",'
        '"start_epoch_s":1795415400.0,"step_s":900,"steps":3,"topology_version":"v1",'
        '"valid_until_epoch_s":1795418100.0,"value_ppm":{"a":[[0],[250000]],"b":[[0],[1]]}}'
    )


def test_the_key_is_the_one_of_the_rfc() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == PUBLIC
    assert SIGNER.key_id == "21fe31dfa154a261"  # sha256 of the 32 bytes, computed by sha256sum


@given(steps=st.integers(1, 200), count=st.integers(0, 8), seed=st.integers(0, 2**32))
def test_there_and_back(steps: int, count: int, seed: int) -> None:
    sent = plan(steps, tuple(f"asset-{k}" for k in range(count)), seed)
    opened = VERIFIER.open("plan", SIGNER.sign("plan", plan_text(sent)))
    assert isinstance(opened, Opened)
    back = plan_of_text(opened.body, opened.key_id)
    assert isinstance(back, Plan), back
    assert back.assets == tuple(sorted(sent.assets))
    order = [back.assets.index(name) for name in sent.assets]
    setpoints, values = back.setpoint_ma[:, order], back.value_ppm[:, order]
    assert same(replace(back, assets=sent.assets, setpoint_ma=setpoints, value_ppm=values), sent)


def test_a_hundred_assets_over_two_days_fit_well() -> None:
    rng = np.random.default_rng(1)
    lasting = np.repeat(rng.integers(0, 6, (24, 100)) * 6000, 8, axis=0)
    big = plan(192, tuple(f"socket-{k:03d}" for k in range(100)), setpoint_ma=lasting, value_ppm=lasting * 10)
    assert len(SIGNER.sign("plan", plan_text(big))) < 128 * 1024


def tampered(**changes: Any) -> CodecError | Plan:
    raw = json.loads(plan_text(plan()))
    raw.update(changes)
    return plan_of_text(json.dumps(raw), "k")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": 2}, "plan schema 2 is unknown"),
        ({"schema": True}, "unknown"),
        ({"extra": 1}, "key 'extra' is unknown"),
        ({"steps": 0}, "1 to 400 steps"),
        ({"steps": 401}, "1 to 400 steps"),
        ({"sequence": -1}, "the sequence is negative"),
        ({"sequence": 1.0}, "no whole number"),
        ({"sequence": True}, "no whole number"),
        ({"step_s": 0}, "step is not positive"),
        ({"site": "x" * 201}, "site is no text"),
        ({"start_epoch_s": None}, "start_epoch_s is no time"),
        ({"planned_import_mw": []}, "not a list of steps"),
        ({"planned_import_mw": [0, 1]}, "not a list of steps"),
        ({"planned_import_mw": [[], []]}, "one value per change"),
        ({"planned_import_mw": [[0], []]}, "one value per change"),
        ({"planned_import_mw": [[1], [5]]}, "not in order from 0"),
        ({"planned_import_mw": [[0, 4], [5, 5]]}, "to below 4"),
        ({"planned_import_mw": [[0, 2, 1], [5, 1, 1]]}, "not in order"),
        ({"planned_import_mw": [[0, 0], [5, 1]]}, "not in order"),
        ({"planned_import_mw": [[0], [1.5]]}, "no whole number"),
        ({"planned_import_mw": [[0], [None]]}, "no whole number"),
        ({"planned_import_mw": [[False], [1]]}, "no whole number"),
        ({"planned_import_mw": [[0], [2_000_000_000_000]]}, "planned import lies beyond"),
        ({"setpoint_ma": {"a": [[0], [1]]}}, "not for the same assets"),
        ({"setpoint_ma": {"a": [[0], [99_000_000]], "b": [[0], [1]]}}, "a setpoint lies beyond"),
        ({"setpoint_ma": []}, "not an object"),
        ({"valid_until_epoch_s": 1.0}, "ends before it starts"),
    ],
)
def test_fault_15_a_malformed_plan_is_refused_whole(changes: dict[str, Any], why: str) -> None:
    refused = tampered(**changes)
    assert isinstance(refused, CodecError)
    assert why in str(refused)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "JSON object"),
        ('{"schema":1}', "is missing"),
        ('{"schema":1,"schema":1}', "given twice"),
        ('{"schema":NaN}', "not a number"),
        ('{"schema":' + "9" * 40 + "}", "beyond 64 bits"),
        ('{"a":' * 9 + "1" + "}" * 9, "nested deeper"),
        ("x" * (256 * 1024 + 1), "larger than"),
        ("\ud800", "UTF-8"),
    ],
)
def test_fault_15_and_16_texts_that_are_none(text: str, why: str) -> None:
    refused = plan_of_text(text.encode("utf-8", "surrogatepass"), "k")
    assert isinstance(refused, CodecError)
    assert why in str(refused)


def test_fault_12_forged_plans() -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    body = plan_text(plan())
    cases = {
        "not known": Signer(other, key_id_of(other.public_key())).sign("plan", body),
        "does not hold": Signer(other, SIGNER.key_id).sign("plan", body),
    }
    for why, payload in cases.items():
        refused = VERIFIER.open("plan", payload)
        assert isinstance(refused, CodecError)
        assert why in str(refused)


def test_a_signature_of_one_kind_is_worth_nothing_on_another() -> None:
    refused = VERIFIER.open("plan", SIGNER.sign("command", plan_text(plan())))
    assert isinstance(refused, CodecError)
    assert "does not hold" in str(refused)


@given(data=st.data())
def test_a_changed_byte_never_gets_through_as_another_plan(data: st.DataObject) -> None:
    sent = plan()
    payload = bytearray(SIGNER.sign("plan", plan_text(sent)))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    opened = VERIFIER.open("plan", bytes(payload))
    if isinstance(opened, Opened):  # the byte was drawn as it was, or escapes the same text
        assert opened.body == plan_text(sent)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_value_and_no_exception(payload: bytes) -> None:
    assert isinstance(VERIFIER.open("plan", payload), CodecError)
    assert isinstance(plan_of_text(payload, "k"), CodecError)


@pytest.mark.parametrize("signature", ["", "AAAA", "!!!!", base64.b64encode(bytes(64)).decode()])
def test_signatures_that_are_none(signature: str) -> None:
    payload = json.dumps({"key_id": SIGNER.key_id, "signature": signature, "body": "{}"}).encode()
    refused = VERIFIER.open("plan", payload)
    assert isinstance(refused, CodecError)
    assert "does not hold" in str(refused)


def test_keys_from_files(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("nothing")
    for read in (Signer.of_file, Verifier.of_file):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / "none")
        with pytest.raises(UserError, match=r"no key|no signing key"):
            read(tmp_path / "bad")
