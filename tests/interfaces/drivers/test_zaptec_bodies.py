"""Bodies written by hand from the maker's public description, and bodies that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.zaptec_bodies import (
    ChargerSeen,
    Installation,
    Token,
    Unreadable,
    chargers_of,
    installation_of,
    seen_of,
    token_of,
)

PLACE = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
INSTALLATION = b"""{"Id":"0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0","Name":"Garage","InstallationType":0,"MaxCurrent":40.0,
"AvailableCurrent":13.0,"AvailableCurrentPhase1":16.0,"AvailableCurrentPhase2":14.5,"AvailableCurrentPhase3":13.0,
"AvailableCurrentMode":0,"UseLoadBalancing":true,"NetworkType":4,"Notes":null,"ActiveChargerCount":2}"""
HIERARCHY = b"""{"Id":"0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0","Name":"Garage","NetworkType":4,"Circuits":[
{"Id":"c1","Name":"A","MaxCurrent":40.0,"Chargers":[{"Id":"1a2b3c4d-0000-1111-2222-333344445555","Name":"P1"}]},
{"Id":"c2","Name":"B","MaxCurrent":40.0,"Chargers":[{"Id":"1a2b3c4d-0000-1111-2222-333344446666","Name":"P2"}]}]}"""
STATE = b"""[{"ChargerId":"1a2b","StateId":-2,"Timestamp":"2026-11-21T10:15:30.583","ValueAsString":"1"},
{"ChargerId":"1a2b","StateId":507,"Timestamp":"2026-11-21T10:15:30.583","ValueAsString":"15.912"},
{"ChargerId":"1a2b","StateId":523,"Timestamp":"2026-11-20T08:42:34.89","ValueAsString":"10.000"},
{"ChargerId":"1a2b","StateId":708,"Timestamp":"2026-11-21T10:14:02","ValueAsString":"16.000"},
{"ChargerId":"1a2b","StateId":710,"Timestamp":"2026-11-21T10:14:02","ValueAsString":"3"},
{"ChargerId":"1a2b","StateId":721,"Timestamp":"2026-11-21T10:14:02"}]"""
TOKEN = b'{"access_token":"eyJhbGciOi.J9","token_type":"Bearer","expires_in":86399}'


def test_golden_bodies():
    assert token_of(TOKEN) == Token("eyJhbGciOi.J9", 86399.0)
    assert installation_of(INSTALLATION, PLACE.upper()) == Installation(40.0, 16.0), "the highest phase counts"
    assert chargers_of(HIERARCHY) == ("1a2b3c4d-0000-1111-2222-333344445555", "1a2b3c4d-0000-1111-2222-333344446666")
    assert seen_of(STATE) == ChargerSeen(online=True, mode=3, set_a=16.0, offline_a=10.0)


@pytest.mark.parametrize("value", [b'"NaN"', b"NaN", b"Infinity", b"-1", b"null", b"true", b'"many"', b"1e300", b"[]"])
def test_a_number_that_is_none_is_missing(value):
    body = INSTALLATION.replace(b'"MaxCurrent":40.0', b'"MaxCurrent":' + value)
    assert installation_of(body, PLACE) == Unreadable("no MaxCurrent or AvailableCurrent")


def test_what_a_charger_does_not_say_is_not_known():
    assert seen_of(b"[]") == ChargerSeen(online=False, mode=None, set_a=None, offline_a=None)
    assert seen_of(STATE.replace(b'"ValueAsString":"3"', b'"ValueAsString":"4"')) == ChargerSeen(True, None, 16.0, 10.0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"Circuits":[]}', "0 chargers"),
        (b"{}", "no list of circuits"),
        (b'{"Circuits":[{"Chargers":[{"Name":"x"}]}]}', "a charger without id"),
        (b'{"Circuits":[{"Chargers":[{"Id":"../../x"}]}]}', "a charger without id"),
        (b'{"Circuits":[{"Chargers":"x"}]}', "a charger without id"),
    ],
)
def test_a_list_of_chargers_that_is_none(body, reason):
    assert chargers_of(body) == Unreadable(reason)


@pytest.mark.parametrize("body", [b'{"access_token":"x"}', b'{"access_token":"a\\nb","expires_in":9}', b"[]", b"x"])
def test_a_token_that_is_none(body):
    assert isinstance(token_of(body), Unreadable)


@given(st.sampled_from([TOKEN, INSTALLATION, HIERARCHY, STATE]), st.data())
def test_a_damaged_body_never_raises(body, data):
    cut = data.draw(st.integers(0, len(body)))
    noise = data.draw(st.binary(max_size=8))
    for read in (token_of, chargers_of, seen_of, lambda one: installation_of(one, PLACE)):
        read(body[:cut] + noise + body[cut + len(noise) :])


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_never_raises(value):
    for wrapped in (value, [{"StateId": value, "ValueAsString": value}], {"Circuits": value, "Id": value}):
        for read in (token_of, chargers_of, seen_of, lambda one: installation_of(one, PLACE)):
            read(json.dumps(wrapped).encode())
