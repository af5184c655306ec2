"""The driver against the maker's service as it is described, with everything that can go wrong on the way."""

from __future__ import annotations

import itertools

import pytest

import interfaces.drivers.zaptec_api as api_module
from interfaces.drivers.zaptec import HIERARCHY_S
from interfaces.drivers.zaptec_api import SPACING_S
from interfaces.drivers.zaptec_point import POLL_S
from interfaces.drivers.zaptec_rule import ARRIVES_S, HEARD_S, LOWER_EVERY_S, RAISE_EVERY_S, STEADY_S
from simulations.devices.zaptec import DISCONNECTED, FINISHED, REQUESTING, Box, Trouble
from tests.interfaces.drivers.zaptec_kit import CHARGER, PLACE, driven, installation

HTML = b"<html><body>Bad gateway</body></html>"


def test_the_first_round_tells_everything_and_asks_only_documented_paths():
    with driven(installation(available_a=[20.0, 20.0, 20.0])) as kit:
        seen = kit.last(1, None)
        assert (seen.problem, seen.online) == ("", True)
        assert (seen.offered_a, seen.limit_a) == (20.0, 32.0)
        assert (seen.pilot, seen.status) == ("C2", "charging")
        assert seen.readback_s == pytest.approx(seen.asked_s - HEARD_S)
        assert kit.state.asked == [
            ("POST", "/oauth/token"),
            ("GET", f"/api/installation/{PLACE}"),
            ("GET", f"/api/installation/{PLACE}/hierarchy"),
            ("GET", f"/api/chargers/{CHARGER}/state"),
        ]
        assert kit.state.updates == [], "nobody vouched for an order"


def test_a_cut_is_written_at_once_and_believed_only_when_it_had_time_to_arrive():
    with driven(installation(available_a=[20.0, 20.0, 20.0])) as kit:
        kit.run(2, 20)
        begun_s = kit.clock.now_s
        first = kit.last(2, 10)
        assert [body for _, body in kit.state.updates] == [{f"availableCurrentPhase{n}": 10 for n in (1, 2, 3)}]
        assert first.offered_a == 20.0, "the old offer may still be in force"
        assert first.readback_s < begun_s, "nor is anything read back of it"
        seen = kit.run(ARRIVES_S + POLL_S, 10)
        lower = [one for one in seen if one.offered_a == 10.0]
        assert lower[0].asked_s >= begun_s + ARRIVES_S
        assert lower[0].readback_s > begun_s


def test_a_charger_that_was_not_told_keeps_the_old_offer_reserved():
    with driven(installation(available_a=[20.0, 20.0, 20.0], delay_s=600.0)) as kit:
        kit.run(2, 20)
        seen = kit.run(500, 10)
        assert {one.offered_a for one in seen} == {20.0}, "the service took it, the charger still says 20 A"
        assert kit.last(300, 10).offered_a == 10.0


def test_a_raise_keeps_the_makers_guidance_and_a_cut_a_minute():
    with driven(installation(available_a=[6.0, 6.0, 6.0])) as kit:
        kit.run(2, 6)
        begun_s = kit.clock.now_s
        kit.run(STEADY_S + 3, 16)
        assert [body["availableCurrentPhase1"] for _, body in kit.state.updates] == [16]
        first_s = kit.state.updates[0][0]
        assert first_s >= begun_s + STEADY_S, "the controller's ramp comes to its end first"
        kit.run(RAISE_EVERY_S - 30, 20)
        assert len(kit.state.updates) == 1
        kit.run(60, 20)
        assert kit.state.updates[1][0] >= first_s + RAISE_EVERY_S
        for wanted_a in (19, 18, 17, 16, 15, 14):
            kit.run(20, wanted_a)
        times_s = [at_s for at_s, _ in kit.state.updates[1:]]
        assert len(times_s) > 2
        assert all(late - early >= LOWER_EVERY_S for early, late in itertools.pairwise(times_s))


def test_a_day_of_orders_that_never_rest_stays_far_below_the_rate():
    with driven(installation(available_a=[6.0, 6.0, 6.0])) as kit:
        for k in range(120):
            kit.run(60, 6 + (k * 7) % 20)
        assert min(kit.clock.paused_s) >= 0
        assert kit.api.requests < 2 * 3600 / POLL_S * 3 + 200
        raises = [
            late_s - early_s
            for (early_s, early), (late_s, late) in zip(kit.state.updates, kit.state.updates[1:], strict=False)
            if late["availableCurrentPhase1"] > early["availableCurrentPhase1"]
        ]
        assert raises
        assert min(raises) >= RAISE_EVERY_S


def test_requests_keep_their_distance():
    with driven() as kit:
        kit.run(1, None)
        assert kit.api.requests == 4
        assert [round(one, 3) for one in kit.clock.paused_s[1:]] == [SPACING_S] * 3


def test_the_list_of_chargers_is_read_again_every_hour():
    with driven() as kit:
        kit.run(2, None)
        kit.state.boxes.append(Box("aaaaaaaa-0000-0000-0000-000000000002", online=False))
        assert kit.last(POLL_S + 1, None).online
        seen = kit.last(HIERARCHY_S + POLL_S, None)
        assert not seen.online
        assert seen.problem == "1 of 2 chargers are offline for the maker's service"


def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused():
    with driven() as kit:
        kit.run(2, None)
        kit.state.tokens.clear()
        assert kit.last(POLL_S + 1, None).problem == ""
        assert kit.state.logins == 2, "the service forgot it: asked anew within the same round"
        kit.clock.now_s += 86_200
        assert kit.last(1, None).problem == ""
        assert kit.state.logins == 3


def test_wrong_words_are_told_and_not_repeated_every_second():
    with driven(password="wrong") as kit:
        seen = kit.run(300, None)
        assert {one.problem for one in seen} == {"no token: the service does not know this user name and password"}
        assert len(seen) <= 7
        assert not any(one.online for one in seen)


TROUBLES = {
    "429": (Trouble(429, b"", (("Retry-After", "30"),)), "too many requests: the service asks to wait"),
    "500": (Trouble(500, b"{}"), "the service answers with status 500"),
    "HTML with 200": (Trouble(200, HTML), "the answer cannot be read: no JSON"),
    "HTML with 502": (Trouble(502, HTML), "the service answers with status 502"),
    "403": (
        Trouble(403, b""),
        "the account may not do this: it needs the role of owner or service on the installation",
    ),
    "404": (Trouble(404, b""), "the service does not know this installation or charger"),
    "redirect": (Trouble(302, b"", (("Location", "http://127.0.0.1:1/"),)), "the service answers with status 302"),
    "too large": (Trouble(200, b" " * 1_000_001), "an answer of more than 1000000 bytes"),
    "another installation": (
        Trouble(200, b'{"Id": "x", "MaxCurrent": 32, "AvailableCurrent": 6}'),
        "the answer cannot be read: another installation than was asked for",
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_a_sentence_and_keeps_what_was_known(name):
    trouble, says = TROUBLES[name]
    with driven(installation(available_a=[20.0, 20.0, 20.0])) as kit:
        kit.run(2, None)
        kit.state.trouble.append(trouble)
        seen = kit.run(POLL_S, None)[0]
        assert (seen.problem, seen.online, seen.offered_a) == (says, False, 20.0)
        again = kit.run(60, None)
        assert again[0].problem == ""
        assert again[0].online
        if name == "429":
            assert again[0].asked_s - seen.asked_s >= 30, "not before the service allows"


def test_a_silent_service_is_given_up_and_asked_later_and_later(monkeypatch):
    monkeypatch.setattr(api_module, "SILENT_TIMEOUT_S", 0.05)
    with driven() as kit:
        kit.run(2, None)
        kit.state.broken = Trouble(hangs=True)
        seen = kit.run(600, None)
        assert {one.problem for one in seen} == {"no answer within 0.05 s"}
        gaps_s = [late.asked_s - early.asked_s for early, late in itertools.pairwise(seen)]
        assert gaps_s == sorted(gaps_s)
        assert len(seen) <= 8


def test_no_service_at_all():
    with driven() as kit:
        kit.cloud.__exit__()
        assert kit.last(1, None).problem.startswith("no token: the line to the service broke")


def test_a_write_without_an_answer_is_believed_and_sent_again():
    """The service did it and could not say so: the higher value may be in force."""
    with driven(installation(available_a=[6.0, 6.0, 6.0])) as kit:
        kit.run(2, 6)
        kit.run(STEADY_S - 1, 16)
        kit.state.trouble.append(Trouble(500, b"", done_all_the_same=True))
        kit.run(10, 16)
        assert kit.driver.book.believed_a == 16.0
        assert not kit.driver.book.sure
        assert kit.last(LOWER_EVERY_S + 5, 6).offered_a == 16.0
        assert kit.state.available_a == [6.0, 6.0, 6.0]


def test_a_refused_write_is_told():
    with driven(installation(available_a=[20.0, 20.0, 20.0])) as kit:
        kit.run(2, 20)
        kit.state.trouble.append(Trouble(403, b""))
        seen = kit.run(2, 10)[0]
        assert seen.problem.startswith("10 A could not be set: the account may not do this")
        assert kit.driver.book.sent_a is None


def test_orders_above_the_installation_limit_are_cut_before_they_leave():
    with driven(installation(available_a=[6.0, 6.0, 6.0], max_a=20.0), limit_a=20.0) as kit:
        kit.run(2, 6)
        kit.run(STEADY_S + 5, 32)
        assert kit.state.available_a == [20.0, 20.0, 20.0]


def test_somebody_else_raised_it_and_we_are_told():
    with driven(installation(available_a=[20.0, 20.0, 20.0])) as kit:
        kit.run(ARRIVES_S + 2 * POLL_S, 10)
        kit.state.available_a = [32.0, 32.0, 32.0]
        kit.state.updates.append((kit.clock(), {"availableCurrent": 32}))
        seen = [one for one in kit.run(POLL_S + 1, 10) if one.offered_a == 32.0]
        assert seen[0].readback_s == pytest.approx(seen[0].asked_s - HEARD_S), "it counts: more than we ever said"
        assert kit.state.available_a == [10.0, 10.0, 10.0], "and it is set back"


@pytest.mark.parametrize(
    ("modes", "pilot", "status"),
    [
        ((DISCONNECTED, DISCONNECTED), "A", "free"),
        ((DISCONNECTED, REQUESTING), "B2", "occupied"),
        ((FINISHED, DISCONNECTED), "B2", "occupied"),
        ((REQUESTING, 3), "C2", "charging"),
        ((0, DISCONNECTED), None, "not_in_operation"),
        ((0, 3), "C2", "charging"),
    ],
)
def test_an_installation_is_as_busy_as_its_busiest_charger(modes, pilot, status):
    state = installation()
    state.boxes = [Box(f"aaaaaaaa-0000-0000-0000-00000000000{k}", mode) for k, mode in enumerate(modes)]
    with driven(state) as kit:
        seen = kit.last(1, None)
        assert (seen.pilot, seen.status) == (pilot, status)


def test_what_it_may_use_without_internet_is_the_sum_of_its_chargers():
    state = installation(max_a=32.0)
    state.boxes = [Box(f"aaaaaaaa-0000-0000-0000-00000000000{k}", offline_a=16.0) for k in range(3)]
    with driven(state) as kit:
        assert kit.last(1, None).limit_a == 48.0


def test_the_password_is_in_no_text():
    with driven() as kit:
        assert "correct horse" not in repr(kit.api.__dict__)
