"""The recipes of mta-sts-life(7), played with a clock that jumps: at each step the tools say what the page says."""

import pytest

from support.play import ADDRESS, BOTH, NEW, OLD, playing


@pytest.fixture
def play(program, authority, tmp_path):
    del program
    with playing(tmp_path, authority) as play:
        yield play


def test_first_publication(play):
    """The record waits for the server."""
    play.at(0, 9)
    play.write("testing")
    play.answer(ADDRESS)
    assert b"publish no TXT record" in play.run("dns", "--served", status=3).stdout
    play.serve("testing")
    assert b"_mta-sts.example.com.\t3600\tIN\tTXT" in play.run("dns", "--served", status=0).stdout
    assert play.publish() == set()
    assert play.free() == ("free", None)


def test_testing_to_enforce(play):
    """A month is long enough; and what was enforced once is held on after a step back."""
    play.at(0, 9)
    play.serve("testing")
    play.publish()
    play.at(29)
    assert play.findings("testing") == []
    play.at(31)
    (said,) = play.findings("testing")
    assert said.startswith('domain "example.com" has been in testing since ')
    play.serve("enforce")
    assert play.publish() == set()
    play.at(31, 9)
    said = play.findings("testing")
    assert said[-1] == f'domain "example.com" is not enforced any more, but senders may enforce it until {play.day(45, 11)} at the earliest'


def test_move_of_the_mx(play):
    play.at(-1)
    play.serve(mx=OLD)
    play.publish()
    play.at(0, 9)
    play.serve(mx=BOTH)
    play.at(0, 9, 30)
    assert play.publish() == set()
    assert play.alone("b.example.com") == ("date", play.day(14, 11, 30))
    (said,) = play.findings(mx=NEW)
    assert said == f'domain "example.com": senders may refuse mail to b.example.com until {play.day(14, 11, 30)}'
    play.at(14, 11, 29)
    assert play.publish(NEW) == {"mx-held-all"}  # too early by a minute
    play.publish(OLD)
    play.at(14, 11, 31)
    assert play.alone("b.example.com") == ("free", None)
    assert play.findings(mx=NEW) == []
    assert play.publish(NEW) == set()
    play.at(20)
    play.serve(mx=NEW)
    assert play.publish(NEW) == set()


@pytest.mark.parametrize("days", [10, None])
def test_move_whose_record_is_forgotten(play, days):
    """Until the tenth day: ten days later; for good: never."""
    play.at(-1)
    play.serve(mx=OLD)
    play.publish()
    play.at(0, 9)
    play.serve(mx=BOTH)
    play.at(days or 20, 9, 29)
    assert play.probe() == {"record-id"}
    assert play.alone("b.example.com")[0] == "renewed"
    if days is not None:
        play.at(days, 9, 30)
        play.publish()
        assert play.alone("b.example.com") == ("date", play.day(24, 11, 30))


def test_shorter_max_age(play):
    """What was fetched before is held for its own max_age."""
    play.at(-1)
    play.serve(max_age="4w")
    play.publish()
    play.at(0, 9)
    play.serve(max_age="1w")
    play.at(0, 9, 30)
    assert play.publish() == set()
    assert play.alone("a.example.com") == ("free", None)
    play.at(8)
    play.serve(mx=BOTH, max_age="1w")
    play.at(8, 1)
    play.publish()
    assert play.alone("b.example.com") == ("date", play.day(28, 11, 30))


def test_removal(play):
    play.at(-1)
    play.serve()
    play.publish()
    play.at(0, 9)
    play.serve("none", max_age="1d")
    play.at(0, 9, 30)
    play.publish()
    assert play.free() == ("date", play.day(14, 11, 30))
    assert 'domain "example.com" is gone, and senders may still hold its enforced policy' in play.findings(None)
    play.at(14, 11, 31)
    assert play.free() == ("free", None)
    assert "record-missing" in play.publish(record=False)
    play.at(14, 13)
    assert [said for said in play.findings(None) if "gone" in said] == []
