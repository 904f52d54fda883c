"""The line between hosts: who says what, who did not come, and who is lost. Hosts are threads here."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from attnjax.config import InputError
from attnjax.train import channel as channels
from attnjax.train.channel import Channel
from attnjax.train.distributed import Hosts


@pytest.fixture
def address() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()


def together(address, hosts, work, *, seconds=20.0, come=None, counted=None):
    """What `work` returns or raises on each host that comes, and who each of them lost."""
    lost = {host: [] for host in range(hosts)}

    def of(host):
        try:
            channel = Channel(
                address,
                host,
                (counted or {}).get(host, hosts),
                seconds,
                lambda reason, code: lost[host].append((reason, code)),
            )
            return work(channel)
        except InputError as error:
            return str(error)

    come = list(range(hosts)) if come is None else come
    with ThreadPoolExecutor(len(come)) as threads:
        return list(threads.map(of, come)), lost


def test_all_hear_what_all_say_in_order(address):
    def work(channel):
        said = [channel.exchange([channel.host, place]) for place in range(50)]
        channel.close()
        return said

    results, lost = together(address, 4, work)
    expected = [[[host, place] for host in range(4)] for place in range(50)]
    assert results == [expected] * 4
    assert not any(lost.values())


def test_a_flag_on_one_host_is_set_on_all(address):
    """As where SIGTERM came to one: all save at the same step."""

    def work(channel):
        present = Hosts(channel)
        said = [present.any(channel.host == 2), present.any(False)]
        channel.close()
        return said

    assert together(address, 4, work)[0] == [[True, False]] * 4


def test_a_host_that_never_comes_is_named_on_all_others(address):
    results, _ = together(address, 4, lambda channel: "all came", seconds=0.5, come=[0, 1, 3])
    assert results == ["host 2 of 4 never came in 0.5 s"] * 3


def test_several_hosts_that_never_come_are_named(address):
    results, _ = together(address, 4, lambda channel: "all came", seconds=0.3, come=[0, 2])
    assert results == ["hosts 1, 3 of 4 never came in 0.3 s"] * 2


def test_without_host_0_the_others_say_where_they_looked(address):
    (message,), _ = together(address, 2, lambda channel: "all came", seconds=0.3, come=[1])
    assert message == f"host 0 never came in 0.3 s: nobody answers at 127.0.0.1:{address[1]}"


def test_hosts_that_count_otherwise_are_refused(address):
    results, _ = together(address, 2, lambda channel: "all came", counted={1: 3})
    assert results == ["host 1 counts 3 hosts, host 0 counts 2"] * 2


def test_two_of_one_number_are_refused(address):
    results, _ = together(address, 3, lambda channel: "all came", come=[0, 1, 1])
    assert results == ["two processes call themselves host 1"] * 3


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"host 0 cannot listen at 127.0.0.1:{port}: Address already"):
            Channel(("127.0.0.1", port), 0, 2, 1.0, print)


def test_strangers_at_the_door_are_left_alone(address):
    def call():
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b"{}\n", b'{"host": 7}\n', b""):
            while True:
                try:
                    stranger = socket.create_connection(address, timeout=1)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.01)
            with stranger:
                stranger.sendall(text)

    caller = threading.Thread(target=call)
    caller.start()

    def late(host):
        if host == 1:
            caller.join()
        channel = Channel(address, host, 2, 20.0, print)
        channel.close()
        return host

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(late, range(2))) == [0, 1]


@pytest.mark.parametrize("victim", [0, 2])
def test_the_others_lose_a_host_that_dies(address, victim):
    there = threading.Barrier(3)

    def work(channel):
        there.wait()
        if channel.host == victim:
            channel._closing = True  # It itself says nothing any more.
            for link in channel._links.values():
                link.socket.shutdown(socket.SHUT_RDWR)  # As the kernel does when the process is killed.
        time.sleep(0.5)

    _, lost = together(address, 3, work)
    gone = f"host {victim} died or can no longer be reached"
    assert {host: {reason for reason, _ in own} for host, own in lost.items() if host != victim} == {
        host: {gone} for host in range(3) if host != victim
    }
    assert {code for own in lost.values() for _, code in own} == {1}


@pytest.mark.parametrize("victim", [0, 1])
def test_the_others_hear_why_a_host_ends_and_with_which_code(address, victim):
    there = threading.Barrier(3)

    def work(channel):
        there.wait()
        if channel.host == victim:
            channel.fail("corpus.tsv is empty", 2)
        time.sleep(0.5)

    _, lost = together(address, 3, work)
    expected = (f"host {victim} ended: corpus.tsv is empty", 2)
    assert all(own[0] == expected for host, own in lost.items() if host != victim)
    assert lost[victim] == []


def test_who_does_not_come_to_where_the_others_are_is_named(address, monkeypatch):
    monkeypatch.setattr(channels, "PATIENCE_SECONDS", 0.3)

    def work(channel):
        if channel.host == 1:
            return time.sleep(1)
        with pytest.raises(channels.RunFailed) as failed:
            channel.exchange("here")
        return str(failed.value)

    results, _ = together(address, 3, work)
    assert results[0] == "waited 0.3 s for host 1, to come to where this is"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_while_another_one_waits_at_the_end_is_lost(address, victim):
    """What is left to do, such as the last evaluation, takes hosts unequally long."""

    def work(channel):
        if channel.host == victim:
            time.sleep(0.3)
            channel._closing = True
            for link in channel._links.values():
                link.socket.shutdown(socket.SHUT_RDWR)
        else:
            waiting = threading.Thread(target=channel.close, daemon=True)
            waiting.start()
            waiting.join(1)

    _, lost = together(address, 2, work)
    assert [reason for reason, _ in lost[1 - victim]] == [f"host {victim} died or can no longer be reached"]
