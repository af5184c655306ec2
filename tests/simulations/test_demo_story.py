"""The stories of the demo: every deed is one that the virtual site obeys, on assets that exist."""

from __future__ import annotations

import asyncio

import pytest

from interfaces.drivers.site_reader import example_text, parse_site
from simulations.demo.story import Beat, Story, depot, garage, motor
from simulations.devices.control import obey
from simulations.devices.host import SiteHost


def story_of(name: str) -> tuple[Story, SiteHost]:
    site = parse_site(example_text(name)).site  # type: ignore[arg-type]
    assert site is not None
    evses = tuple(evse.id for charger in site.chargers for evse in charger.evses)
    return (garage() if name == "garage" else depot(evses, 1)), SiteHost(site, seed=1)


@pytest.mark.parametrize("name", ["garage", "depot"])
def test_the_site_obeys_every_deed(name):
    story, host = story_of(name)

    async def play():
        async with host:
            return [await obey(host, deed) for beat in story.beats for deed in beat.deeds]

    answers = asyncio.run(play())
    assert len(answers) > 10
    assert all(answer["ok"] for answer in answers), answers


@pytest.mark.parametrize("name", ["garage", "depot"])
def test_what_was_broken_is_mended_before_the_story_begins_again(name):
    story, _ = story_of(name)
    deeds = [deed for beat in story.beats for deed in beat.deeds]
    broken = {d["device"] for d in deeds if d["do"] == "fault" and d["kind"] != "clear"}
    mended = {d["device"] for d in deeds if d["do"] == "fault" and d["kind"] == "clear"}
    assert broken
    assert broken == mended
    last = {d["circuit"]: d["amps"] for d in deeds if d["do"] == "background"}
    assert all(amps == [0.0, 0.0, 0.0] for amps in last.values())


@pytest.mark.parametrize("name", ["garage", "depot"])
def test_beats_are_in_order_and_within_the_period(name):
    story, _ = story_of(name)
    times = [beat.at_s for beat in story.beats]
    assert times == sorted(times)
    assert times[0] > 0.0
    assert times[-1] < story.period_s


def test_a_story_begins_again_after_its_period_and_loses_no_beat():
    story = Story((Beat(1.0, "one"), Beat(4.0, "two")), 5.0)
    told = []
    before_s = -1.0
    for k in range(40):
        now_s = 0.3 * k
        told += [beat.says for beat in story.due(before_s, now_s)]
        before_s = now_s
    assert told == ["one", "two", "one", "two", "one"]
    assert [b.says for b in story.due(-1.0, 11.7)] == told, "also when nobody looked for a while"


def test_a_motor_draws_six_times_then_twice_then_once_its_current():
    beats = motor("gcp", (7.0, 0.0, 7.0), 10.0, 20.0, "it starts")
    assert [(b.at_s, b.deeds[0]["amps"][0]) for b in beats] == [(10.0, 42.0), (11.0, 14.0), (15.0, 7.0), (30.0, 0.0)]
    assert [bool(b.says) for b in beats] == [True, False, False, True]
