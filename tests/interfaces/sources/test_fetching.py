"""Fetching over real HTTP on this machine, with a clock that only sleeping moves."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from interfaces.domain.series import Flag, PriceSeries
from interfaces.sources import fetching, transport
from interfaces.sources.cache import Cache
from interfaces.sources.fetching import ATTEMPTS, PARTIAL_FRESH_S, REST_S, STALE_S, Fetched, Fetcher
from interfaces.sources.port import MAX_BODY_BYTES, Source
from interfaces.sources.prices import awattar, energy_charts, energyzero, entsoe
from interfaces.sources.prices.zones import ZONES
from interfaces.sources.transport import Clocks, new_session
from tests.interfaces.sources import kit
from tests.interfaces.sources.kit import Reply, Server, Time, acknowledgement, epoch, error, http_server

START = epoch("2025-12-15T23:00Z")
DAY_S = 86_400
HOURS = [START + k * 3600 for k in range(48)]
BOTH_DAYS = Reply(kit.energy_charts(HOURS, [100.0] * 48))
TODAY = Reply(kit.energy_charts(HOURS[:24], [100.0] * 24))
END = START + 2 * DAY_S


@pytest.fixture
def server() -> Iterator[Server]:
    with http_server() as found:
        yield found


@pytest.fixture
def time() -> Time:
    return Time(epoch_s=float(START) + 3600)


def fetcher(time: Time, cache: Cache | None = None) -> Fetcher:
    session = new_session()
    session.trust_env = False
    return Fetcher(session, Clocks(lambda: time.now_s, lambda: time.epoch_s, time.sleep), lambda: 0.5, cache)


def charts(server: Server, zone: str = "BE") -> Source[PriceSeries]:
    return energy_charts.source(ZONES[zone], url=server.url)


def awattars(server: Server) -> Source[PriceSeries]:
    return awattar.source(ZONES["DE-LU"], url=server.url)


def good(found: object) -> Fetched:
    assert isinstance(found, Fetched), found
    return found


def test_a_good_answer(server, time):
    server.replies = [BOTH_DAYS]
    found = good(fetcher(time).fetch(charts(server), START, END))
    assert len(found.series.eur_per_kwh) == 48
    assert found.series.flags == ()
    assert found.fetched_epoch_s == time.epoch_s
    assert server.asked == [{"bzn": ["BE"], "start": [str(START)], "end": [str(END - 1)]}]
    assert time.slept == []


def test_passing_trouble_is_retried_with_doubling_pauses(server, time):
    server.replies = [Reply(status=503), Reply(status=500), BOTH_DAYS]
    source = replace(charts(server), pause_s=0.0)
    assert len(good(fetcher(time).fetch(source, START, END)).series.eur_per_kwh) == 48
    assert time.slept == [1.0, 2.0]
    assert len(server.asked) == 3


def test_jitter_spreads_the_pauses(server, time):
    server.replies = [Reply(status=503)]
    found = fetcher(time)
    found._jitter = iter([0.0, 1.0, 0.25]).__next__
    source = replace(charts(server), pause_s=0.0)
    assert "HTTP 503" in error(found.fetch(source, START, END))
    assert time.slept == [0.5, 3.0, 3.0]  # 1 x 0.5, 2 x 1.5, 4 x 0.75
    assert len(server.asked) == ATTEMPTS


def test_a_source_that_failed_is_left_alone_for_a_while(server, time):
    server.replies = [Reply(status=503)]
    asking = fetcher(time)
    asking.fetch(charts(server), START, END)
    assert len(server.asked) == ATTEMPTS
    assert "it failed a moment ago" in error(asking.fetch(charts(server), START, END))
    assert len(server.asked) == ATTEMPTS
    time.pass_by(REST_S)
    server.replies = [BOTH_DAYS]
    good(asking.fetch(charts(server), START, END))


def test_retry_after_in_seconds_is_obeyed_and_a_long_one_ends_the_asking(server, time):
    server.replies = [Reply(status=429, headers={"Retry-After": "7"}), BOTH_DAYS]
    good(fetcher(time).fetch(charts(server), START, END))
    assert time.slept[0] == 7.0
    server.replies = [Reply(status=429, headers={"Retry-After": "600"})]
    before = len(server.asked)
    asking = fetcher(time)
    assert "HTTP 429" in error(asking.fetch(charts(server), START, END))
    assert len(server.asked) == before + 1
    time.pass_by(599)
    assert "a moment ago" in error(asking.fetch(charts(server), START, END))
    assert len(server.asked) == before + 1


def test_retry_after_as_a_date(time):
    assert transport._retry_after_s("Mon, 15 Dec 2025 23:00:30 GMT", START) == 30.0
    assert transport._retry_after_s("Mon, 15 Dec 2025 22:00:30 GMT", START) == 0.0
    for text in ("", "soon", "-5", "Mon, 15 Dec", "٣"):
        assert transport._retry_after_s(text, START) is None


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b'{"detail": "unknown zone"}', 404), "it answers HTTP 404, the answer is an error: unknown zone"),
        (Reply(kit.HTML, 400), "it answers HTTP 400, the answer is a web page (HTML) instead of JSON"),
        (Reply(b"", 401), "it answers HTTP 401"),
        (Reply(kit.HTML), "the answer is a web page (HTML) instead of JSON"),
        (Reply(BOTH_DAYS.body[:-30]), "cut off or no JSON"),
        (Reply(b""), "the answer is empty"),
        (Reply(b" " * (MAX_BODY_BYTES + 1)), "larger than 8 MB"),
        (Reply(status=302, headers={"Location": "/again"}), "it redirects without end"),
        (Reply(status=302, headers={"Location": "gopher://x"}), "nothing that is HTTP"),
    ],
)
def test_answers_that_do_not_get_better_are_not_asked_for_again(server, time, reply, words):
    server.replies = [reply]
    assert words in error(fetcher(time).fetch(charts(server), START, END))
    assert len(server.asked) == 1 or reply.status == 302
    assert time.slept == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(BOTH_DAYS.body, cut=True), "its answer breaks off"),
        (Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), "its answer breaks off"),
        (Reply(status=502), "it answers HTTP 502"),
    ],
)
def test_answers_that_may_get_better_are_asked_for_again(server, time, reply, words):
    server.replies = [reply]
    assert words in error(fetcher(time).fetch(charts(server), START, END))
    assert len(server.asked) == ATTEMPTS


def test_nobody_listens(time):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    source = energy_charts.source(ZONES["BE"], url=f"http://127.0.0.1:{port}/")
    assert error(fetcher(time).fetch(source, START, END)) == "Energy-Charts: it cannot be reached"


def test_a_source_that_trickles_is_given_up(server, time, monkeypatch):
    monkeypatch.setattr(transport, "CHUNK_BYTES", 100)
    clocks = Clocks(lambda: time.pass_by(transport.TOTAL_S) or time.now_s, lambda: time.epoch_s, time.sleep)
    server.replies = [BOTH_DAYS]
    session = new_session()
    found = transport.get(session, charts(server).requests(START, END)[0], clocks)
    assert found == transport.Failure("it does not answer in time", again=True)


def test_the_token_is_sent_and_appears_in_no_word_log_or_file(server, time, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "interfaces.sources")
    source = entsoe.source(ZONES["BE"], "top-secret", url=server.url)
    server.replies = [Reply(acknowledgement("Unauthorized"), 401)]
    asking = fetcher(time, Cache(tmp_path))
    told = error(asking.fetch(source, START, END))
    assert told == "ENTSO-E: it answers HTTP 401, the platform refused: Unauthorized"
    assert server.asked[0]["securityToken"] == ["top-secret"]
    down = entsoe.source(ZONES["BE"], "top-secret", url="http://127.0.0.1:1/")
    told += error(fetcher(time).fetch(down, START, END))
    server.replies = [
        Reply(kit.publication(kit.time_series(kit.period("2025-12-15T23:00Z", "2025-12-17T23:00Z", "PT60M", {1: 1}))))
    ]
    good(asking.fetch(source, START, END))
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1
    assert "top-secret" not in told + caplog.text + kept[0].name + kept[0].read_text()


def test_requests_to_one_source_keep_their_distance(server, time):
    server.replies = [BOTH_DAYS]
    asking = fetcher(time)
    for zone in ("BE", "NL", "FR"):
        asking.fetch(charts(server, zone), START, END)
    assert time.slept == [2.0, 2.0]


# -- cache ------------------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_not_asked_for_again_until_it_is_old(server, time, tmp_path):
    server.replies = [BOTH_DAYS]
    first = good(fetcher(time, Cache(tmp_path)).fetch(charts(server), START, END))
    time.pass_by(charts(server).fresh_s - 1)
    again = good(fetcher(time, Cache(tmp_path)).fetch(charts(server), START, END))
    assert len(server.asked) == 1
    assert again.fetched_epoch_s == first.fetched_epoch_s
    assert again.series.eur_per_kwh.tolist() == first.series.eur_per_kwh.tolist()
    assert again.series.flags == ()
    time.pass_by(2)
    good(fetcher(time, Cache(tmp_path)).fetch(charts(server), START, END))
    assert len(server.asked) == 2


def test_an_answer_without_tomorrow_is_marked_and_soon_asked_for_again(server, time, tmp_path):
    server.replies = [TODAY, BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    assert good(asking.fetch(charts(server), START, END)).series.flags == (Flag.INCOMPLETE,)
    time.pass_by(PARTIAL_FRESH_S - 1)
    assert good(asking.fetch(charts(server), START, END)).series.flags == (Flag.INCOMPLETE,)
    assert len(server.asked) == 1
    time.pass_by(2)
    assert good(asking.fetch(charts(server), START, END)).series.flags == ()


def test_after_midnight_the_new_day_is_asked_for_at_once(server, time, tmp_path):
    """The same question, a day on: what was kept a minute ago was not asked for all of it."""
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server), START, END)
    time.pass_by(60)
    asking.fetch(charts(server), START + DAY_S, END + DAY_S)
    assert [asked["start"] for asked in server.asked] == [[str(START)], [str(START + DAY_S)]]


def test_a_clock_that_was_set_back_asks_again(server, time, tmp_path):
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server), START, END)
    time.epoch_s -= 7200
    asking.fetch(charts(server), START, END)
    assert len(server.asked) == 2


def test_other_zones_and_other_lengths_are_other_questions(server, time, tmp_path):
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server, "BE"), START, END)
    asking.fetch(charts(server, "NL"), START, END)
    asking.fetch(charts(server, "BE"), START - 30 * DAY_S, END)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"100.0", b"900.0", 1)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe\n"),
        lambda path: path.write_bytes(b"[]\n"),
        lambda path: path.write_bytes(b'{"format": 1}\n'),
        lambda path: path.unlink(),
    ],
    ids=["cut", "changed", "empty", "no text", "list", "no head", "gone"],
)
def test_a_damaged_cache_file_is_not_used(server, time, tmp_path, spoil):
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server), START, END)
    (path,) = tmp_path.iterdir()
    spoil(path)
    assert good(asking.fetch(charts(server), START, END)).series.eur_per_kwh[0] == 0.1
    assert len(server.asked) == 2


def test_a_cache_that_cannot_be_written_is_no_error(server, time, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server.replies = [BOTH_DAYS]
    good(fetcher(time, Cache(tmp_path / "file")).fetch(charts(server), START, END))


def test_the_cache_stays_bounded(server, time, tmp_path, monkeypatch):
    monkeypatch.setattr("interfaces.sources.cache.MAX_FILES", 3)
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    for zone in ("BE", "NL", "FR", "AT", "CZ"):
        asking.fetch(charts(server, zone), START, END)
    assert len(list(tmp_path.iterdir())) == 3


def test_answers_that_cannot_be_read_are_not_kept(server, time, tmp_path):
    server.replies = [Reply(kit.HTML)]
    fetcher(time, Cache(tmp_path)).fetch(charts(server), START, END)
    assert list(tmp_path.iterdir()) == []


# -- fall-backs and stale answers -------------------------------------------------------------------------------------


def test_the_next_source_takes_over_and_is_marked(server, time):
    rows = [(start, start + 3600, 50.0) for start in HOURS]
    server.replies = [*[Reply(status=503)] * ATTEMPTS, Reply(kit.awattar(rows))]
    found = good(fetcher(time).first_good([charts(server, "DE-LU"), awattars(server)], START, END))
    assert found.series.source == "awattar"
    assert found.series.flags == (Flag.FALLBACK,)
    assert found.problems == ("Energy-Charts: it answers HTTP 503",)


def test_a_source_that_has_tomorrow_goes_before_one_that_does_not(server, time):
    rows = [(start, start + 3600, 50.0) for start in HOURS]
    both: list[Source[PriceSeries]] = [charts(server, "DE-LU"), awattars(server)]
    server.replies = [TODAY, Reply(kit.awattar(rows))]
    found = good(fetcher(time).first_good(both, START, END))
    assert (found.series.source, found.series.flags) == ("awattar", (Flag.FALLBACK,))
    assert found.problems == ("Energy-Charts: it does not have all of the time asked for",)
    server.replies = [TODAY, Reply(kit.awattar(rows[:24]))]
    found = good(fetcher(time).first_good(both, START, END))
    assert (found.series.source, found.series.flags) == ("energy_charts", (Flag.INCOMPLETE,))
    server.replies = [TODAY, Reply(kit.HTML)]
    found = good(fetcher(time).first_good(both, START, END))
    assert (found.series.source, found.series.flags) == ("energy_charts", (Flag.INCOMPLETE,))


def test_the_first_source_alone_is_asked_while_it_works(server, time):
    server.replies = [BOTH_DAYS]
    found = good(fetcher(time).first_good([charts(server, "DE-LU"), awattars(server)], START, END))
    assert (found.series.source, found.series.flags, found.problems) == ("energy_charts", (), ())
    assert len(server.asked) == 1


def test_yesterdays_answer_is_better_than_none_and_marked(server, time, tmp_path):
    """Asked yesterday for yesterday and today; down since. What it said about today still holds."""
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server), START, END)
    fetched = time.epoch_s
    time.pass_by(DAY_S)
    server.replies = [Reply(kit.HTML)]
    found = good(asking.first_good([charts(server)], START + DAY_S, END + DAY_S))
    assert found.series.flags == (Flag.STALE, Flag.INCOMPLETE)
    assert found.fetched_epoch_s == fetched
    assert found.series.start_epoch_s[-1] == HOURS[-1]
    assert found.problems == ("Energy-Charts: the answer is a web page (HTML) instead of JSON",)
    # The day after it says nothing about the time asked for.
    assert "HTML" in error(asking.first_good([charts(server)], END, END + 2 * DAY_S))


def test_a_stale_answer_of_a_fall_back_is_marked_as_both(server, time, tmp_path):
    rows = [(start, start + 3600, 50.0) for start in HOURS]
    server.replies = [Reply(kit.awattar(rows))]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(awattars(server), START, END)
    time.pass_by(DAY_S)
    server.replies = [Reply(kit.HTML)]
    found = good(asking.first_good([charts(server, "DE-LU"), awattars(server)], START, END))
    assert found.series.flags == (Flag.STALE, Flag.FALLBACK)


def test_an_answer_of_last_week_says_nothing_any_more(server, time, tmp_path):
    server.replies = [BOTH_DAYS]
    asking = fetcher(time, Cache(tmp_path))
    asking.fetch(charts(server), START, END)
    time.pass_by(STALE_S + 1)
    server.replies = [Reply(kit.HTML)]
    assert error(asking.first_good([charts(server)], START, END))


def test_when_all_fail_one_sentence_names_them_all(server, time):
    server.replies = [Reply(b'{"detail": "closed"}', 404)]
    told = error(fetcher(time).first_good([charts(server, "DE-LU"), awattars(server)], START, END))
    assert told == (
        "Energy-Charts: it answers HTTP 404, the answer is an error: closed; "
        "aWATTar: it answers HTTP 404, the answer is an error: closed"
    )


def test_days_are_asked_for_one_by_one_and_joined(server, time):
    """EnergyZero: a request for each day; tomorrow is not published."""

    def day(first: int) -> bytes:
        return kit.energyzero(
            [
                (f"2025-12-{first:02d}T{h:02d}:00:00Z", f"2025-12-{first:02d}T{h:02d}:15:00Z", f"0.{h:02d}")
                for h in range(20)
            ]
        )

    source = energyzero.source(url=server.url)
    server.replies = [Reply(day(16)), Reply(b'{"code": 5, "message": "no prices"}', 404)]
    found = good(fetcher(time).fetch(source, START, END))
    assert len(found.series.eur_per_kwh) == 20
    assert found.series.flags == (Flag.GAPS, Flag.INCOMPLETE)
    assert found.problems == ("EnergyZero: it answers HTTP 404, the answer is an error: no prices",)
    assert [asked["date"] for asked in server.asked] == [["16-12-2025"], ["17-12-2025"]]
    server.replies = [Reply(day(16)), Reply(day(17))]
    assert len(good(fetcher(time).fetch(source, START, END)).series.eur_per_kwh) == 40


def test_a_day_that_fails_in_front_leaves_the_series_incomplete_too(server, time):
    quarters = [f"2025-12-17T{k // 4:02d}:{k % 4 * 15:02d}:00Z" for k in range(92)]
    rows = [(one, later, "0.1") for one, later in pairwise([*quarters, "2025-12-17T23:00:00Z"])]
    server.replies = [Reply(b'{"code": 5, "message": "lost"}', 404), Reply(kit.energyzero(rows))]
    found = good(fetcher(time).fetch(energyzero.source(url=server.url), START, END))
    assert found.series.start_epoch_s[-1] + 900 == END
    assert found.series.flags == (Flag.INCOMPLETE,)


def test_a_body_with_two_meanings_is_no_series(server, time):
    """Two days that contradict each other where they touch."""
    row = ("2025-12-16T00:00:00Z", "2025-12-16T00:15:00Z", "0.1")
    other = (*row[:2], "0.2")
    server.replies = [Reply(kit.energyzero([row])), Reply(kit.energyzero([other]))]
    assert "given twice, differently" in error(fetcher(time).fetch(energyzero.source(url=server.url), START, END))


def test_the_pauses_are_ours_to_keep():
    """400 requests a minute is ENTSO-E's limit, 600 Open-Meteo's; a minute of back-off never reaches them."""
    assert 60 / entsoe.source(ZONES["BE"], "t").pause_s <= 400
    assert fetching.BACK_OFF_S * (2**ATTEMPTS - 1) < 60
