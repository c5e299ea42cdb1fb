# SPDX-License-Identifier: Apache-2.0
"""Instances get their addresses, each once, and give them back."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from nova.conf.network import NetworkSection
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import AddressInUse, BadRequest, NoMoreAddresses, NotFound, NovaError
from nova.network import allocation
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.objects.dns import DnsDomain, DnsEntry
from nova.objects.instance import RequestedNetwork, Vif
from nova.objects.network import Network

MakeNetwork = Callable[..., Network]

FLAT = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", fake_network=True
)
VLAN = dataclasses.replace(NetworkSection(), fake_network=True)


@pytest.fixture
def allocator() -> NetworkAllocator:
    return NetworkAllocator(FLAT)


class Server:
    """As much of an instance as the allocator reads."""

    def __init__(self, uuid_: str, project_id: str = "p", host: str | None = "node1") -> None:
        self.uuid, self.project_id, self.host = uuid_, project_id, host


def request(
    *requested: RequestedNetwork, project: str = "p", instance: str | None = None,
    none: bool = False,
) -> AllocationRequest:
    return AllocationRequest(
        instance_uuid=instance or str(uuid.uuid4()), project_id=project, host="node1",
        requested=requested if requested or none else None,
    )


def on(network: Network, address: str | None = None, tag: str | None = None) -> RequestedNetwork:
    return RequestedNetwork(network_id=network.uuid, address=address, tag=tag)


def allocate(
    db: Database, allocator: NetworkAllocator, *wanted: AllocationRequest
) -> list[tuple[Vif, ...] | NovaError]:
    with db.write() as tx:
        return allocator.allocate_many(tx, wanted)


def served(answer: tuple[Vif, ...] | NovaError) -> tuple[Vif, ...]:
    assert not isinstance(answer, NovaError), answer
    return answer


def address_of(answer: tuple[Vif, ...] | NovaError) -> str:
    return served(answer)[0].addresses[0].address


def test_addresses_go_out_in_order_with_all_that_a_host_needs(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network("10.0.0.0/28", label="público", mtu=1450, dns2="9.9.9.9")
    answers = allocate(db, allocator, request(), request())
    assert [address_of(each) for each in answers] == ["10.0.0.2", "10.0.0.3"]
    (vif,) = served(answers[0])
    assert (vif.network_id, vif.label, vif.mtu) == (network.uuid, "público", 1450)
    assert (vif.bridge, vif.gateway, vif.dns) == ("br100", "10.0.0.1", ("8.8.4.4", "9.9.9.9"))
    assert (vif.cidr, vif.netmask) == ("10.0.0.0/28", "255.255.255.240")
    assert vif.mac.startswith("fa:16:3e:")
    assert len(vif.mac) == 17


def test_an_instance_that_has_its_interfaces_gets_them_back_unchanged(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network()
    wanted = request(on(network, tag="première"), on(network))
    (first,) = allocate(db, allocator, wanted)
    again, other = allocate(db, allocator, wanted, request())
    assert again == first
    assert len(served(first)) == 2
    assert served(first)[0].tag == "première"
    assert address_of(other) not in {vif.addresses[0].address for vif in served(first)}
    twice = request()
    one, two = allocate(db, allocator, twice, twice)
    assert one == two


def test_what_the_database_tells_equals_what_was_allocated(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    make_network("10.0.0.0/28", cidr_v6="fd00::/64", project_id="p")
    make_network("10.1.0.0/28", project_id="p", priority=1)
    wanted = request()
    (vifs,) = allocate(db, allocator, wanted)
    with db.read() as tx:
        read = NetworkAllocator(FLAT).vifs_of(tx, [wanted.instance_uuid, "nobody"])
    assert read == {wanted.instance_uuid: vifs, "nobody": ()}
    assert [vif.cidr for vif in served(vifs)] == ["10.1.0.0/28", "10.0.0.0/28"]
    v6 = served(vifs)[1].addresses[1]
    assert v6.version == 6
    assert v6.address.startswith("fd00::f816:3eff:fe")


def test_no_network_at_all_and_networks_without_ipv4(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    assert allocate(db, allocator, request(none=True)) == [()]
    network = make_network(None, label="six", cidr_v6="fd00::/64")
    (vifs,) = allocate(db, allocator, request(on(network)))
    assert [each.version for each in served(vifs)[0].addresses] == [6]


def test_without_any_network_the_refusal_is_a_value(
    db: Database, allocator: NetworkAllocator
) -> None:
    (answer,) = allocate(db, allocator, request())
    assert isinstance(answer, NoMoreAddresses)
    with db.read() as tx, pytest.raises(NoMoreAddresses):
        allocator.check(tx, "p", None)


def test_exhaustion_refuses_only_those_that_find_nothing_and_leaves_nothing_behind(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    small = make_network("10.0.0.0/29")  # five guests
    large = make_network("10.1.0.0/28")
    batch = [request(on(large), on(small)) for _ in range(7)]
    answers = allocate(db, allocator, *batch)
    refused = [each for each in answers if isinstance(each, NovaError)]
    assert [isinstance(each, NoMoreAddresses) for each in answers] == [False] * 5 + [True] * 2
    assert small.uuid in refused[0].message
    with db.read() as tx:
        usage = tx.networks.usage()
        assert usage[small.id].free == 0
        assert usage[large.id].allocated == 5
        assert tx.fixed_ips.interfaces_of([batch[5].instance_uuid]) == []
    # One gives its addresses back: the next is served.
    with db.write() as tx:
        allocator.release(tx, [batch[0].instance_uuid])
    assert served(allocate(db, allocator, batch[6])[0])


def test_a_released_address_is_used_again_last(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    make_network("10.0.0.0/29")
    batch = [request() for _ in range(3)]
    allocate(db, allocator, *batch)
    for index in (1, 0):
        with db.write() as tx:
            allocator.release(tx, [batch[index].instance_uuid])
    later = [address_of(allocate(db, allocator, request())[0]) for _ in range(4)]
    assert later == ["10.0.0.5", "10.0.0.6", "10.0.0.3", "10.0.0.2"]


def test_release_is_safe_to_repeat(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network()
    wanted = request()
    allocate(db, allocator, wanted)
    for _ in range(2):
        with db.write() as tx:
            allocator.release(tx, [wanted.instance_uuid])
            allocator.release(tx, [])
    with db.read() as tx:
        assert allocator.vifs_of(tx, [wanted.instance_uuid]) == {wanted.instance_uuid: ()}
        assert tx.networks.usage()[network.id].allocated == 0


def test_a_requested_address_is_given_and_then_refused(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network()
    mine, rival = request(on(network, "10.0.0.9")), request(on(network, "10.0.0.9"))
    first, second, free = allocate(db, allocator, mine, rival, request())
    assert address_of(first) == "10.0.0.9"
    assert isinstance(second, AddressInUse)
    assert address_of(free) == "10.0.0.2"
    (third,) = allocate(db, allocator, rival)
    assert isinstance(third, AddressInUse)


def test_requested_and_automatic_addresses_of_one_batch_never_meet(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network("10.0.0.0/29")
    batch = [request(), request(on(network, "10.0.0.2")), *(request() for _ in range(3))]
    answers = allocate(db, allocator, *batch)
    assert sorted(address_of(each) for each in answers) == [f"10.0.0.{n}" for n in range(2, 7)]
    assert address_of(answers[1]) == "10.0.0.2"


def test_check_refuses_what_a_boot_could_not_have(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network("10.0.0.0/24")
    foreign = make_network("10.1.0.0/24", project_id="other")
    allocate(db, allocator, request(on(network, "10.0.0.9")))
    with db.read() as tx:
        assert allocator.check(tx, "p", [on(network), on(network, "10.0.0.10")]) == [network] * 2
        assert allocator.check(tx, "p", None) == [network]
        assert allocator.check(tx, "other", None) == [foreign]
        for wrong, error, text in (
            ([on(foreign)], NotFound, foreign.uuid),
            ([RequestedNetwork(network_id="nonsense")], NotFound, "nonsense"),
            ([RequestedNetwork(port_id="a-port")], NotFound, "a-port"),
            ([on(network, "10.9.0.1")], BadRequest, "10.9.0.1"),
            ([on(network, "10.0.0.9")], AddressInUse, "10.0.0.9"),
            ([on(network, "10.0.0.1")], AddressInUse, "10.0.0.1"),
            ([on(network, "10.0.0.250")], AddressInUse, "10.0.0.250"),
            ([on(network, "10.0.0.11"), on(network, "10.0.0.11")], AddressInUse, "10.0.0.11"),
        ):
            with pytest.raises(error, match=text):
                allocator.check(tx, "p", wrong)


def test_a_network_made_just_now_is_found_at_once(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    make_network()
    allocate(db, allocator, request())
    late = make_network("10.5.0.0/28")
    assert address_of(allocate(db, allocator, request(on(late)))[0]) == "10.5.0.2"


def test_a_boot_reads_the_networks_from_memory(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_network()
    allocate(db, allocator, request())

    def refuse(_self: Any) -> list[Network]:
        raise AssertionError("read the networks again")

    monkeypatch.setattr("nova.db.stores.networks.NetworkStore.every", refuse)
    assert served(allocate(db, allocator, request())[0])
    allocator.forget_networks()
    with pytest.raises(AssertionError, match="again"):
        allocate(db, allocator, request())


def test_the_vlan_manager_binds_a_network_to_the_project_that_first_needs_it(
    db: Database, make_network: MakeNetwork
) -> None:
    first = make_network("10.0.0.0/24", section=VLAN)
    second = make_network("10.1.0.0/24", section=VLAN)
    allocator = NetworkAllocator(VLAN)
    with db.read() as tx:
        assert allocator.check(tx, "p", None) == [first]
    answers = allocate(
        db, allocator, request(), request(project="q"), request(), request(project="r")
    )
    assert [served(each)[0].network_id for each in answers[:3]] == [
        first.uuid, second.uuid, first.uuid,
    ]
    assert isinstance(answers[3], NoMoreAddresses)
    with db.read() as tx:
        assert [each.project_id for each in tx.networks.every()] == ["p", "q"]
        assert allocator.check(tx, "q", None)[0].uuid == second.uuid


def test_a_binding_that_is_rolled_back_is_forgotten(
    db: Database, make_network: MakeNetwork
) -> None:
    network = make_network("10.0.0.0/24", section=VLAN)
    allocator = NetworkAllocator(VLAN)

    def fail_after_binding() -> None:
        with db.write() as tx:
            allocator.allocate_many(tx, [request(project="q")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_binding()
    (answer,) = allocate(db, allocator, request(project="p"))
    assert served(answer)[0].network_id == network.uuid
    with db.read() as tx:
        assert tx.networks.get(network.uuid).project_id == "p"


def test_a_network_without_a_vlan_stays_shared_under_the_vlan_manager(
    db: Database, make_network: MakeNetwork
) -> None:
    shared = make_network("10.0.0.0/24", section=FLAT)
    allocator = NetworkAllocator(VLAN)
    answers = allocate(db, allocator, request(project="p"), request(project="q"))
    assert {served(each)[0].network_id for each in answers} == {shared.uuid}
    with db.read() as tx:
        assert tx.networks.get(shared.uuid).project_id is None


def test_addresses_of_networks_on_one_vlan_do_not_mix(
    db: Database, make_network: MakeNetwork
) -> None:
    first = make_network("10.0.0.0/26", section=VLAN, vlan=401, project_id="p")
    second = make_network("10.0.1.0/26", section=VLAN, vlan=401, project_id="p")
    (answer,) = allocate(db, NetworkAllocator(VLAN), request())
    vifs = served(answer)
    assert [vif.bridge for vif in vifs] == ["br401", "br401"]
    assert [vif.addresses[0].address for vif in vifs] == ["10.0.0.3", "10.0.1.3"]
    with db.read() as tx:
        assert tx.networks.on_vlan(401) == [first, second]


def test_the_address_of_a_deleted_server_waits_for_its_lease_where_none_is_released(
    db: Database, make_network: MakeNetwork
) -> None:
    network = make_network("10.0.0.0/29")
    kept = dataclasses.replace(FLAT, force_dhcp_release=False)
    at_once = (
        NetworkAllocator(FLAT), NetworkAllocator(dataclasses.replace(kept, fixed_ip_disassociate_timeout=0)),
        NetworkAllocator(dataclasses.replace(kept, network_manager="nova.network.manager.FlatManager")),
    )
    for allocator in (*at_once, NetworkAllocator(kept)):
        wanted = request()
        (answer,) = allocate(db, allocator, wanted)
        with db.write() as tx:
            tx.fixed_ips.set_leased(address_of(answer), True)
            allocator.release(tx, [wanted.instance_uuid])
            free = {address for _row, address in tx.fixed_ips.next_free(1, 99)}
            assert (address_of(answer) in free) == (allocator in at_once)
            held = tx.fixed_ips.get(address_of(answer))
    assert held.is_free(now() + datetime.timedelta(seconds=FLAT.fixed_ip_disassociate_timeout + 1))
    with db.write() as tx, pytest.raises(AddressInUse):
        at_once[0].check(tx, "p", [on(network, held.address)])


def test_an_address_that_answers_on_the_wire_is_passed_over(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network()
    moment = datetime.datetime(2026, 1, 1, 12)
    with db.write() as tx:
        tx.probes.record({tx.fixed_ips.get("10.0.0.2").id: "52:54:00:AA:BB:CC"}, moment)
    (answer,) = allocate(db, allocator, request())
    assert address_of(answer) == "10.0.0.3"
    with db.write() as tx:
        with pytest.raises(AddressInUse):
            allocator.check(tx, "p", [on(network, "10.0.0.2")])
        tx.probes.record({tx.fixed_ips.get("10.0.0.2").id: None}, moment)
        tx.probes.record({tx.fixed_ips.get("10.0.0.3").id: "52:54:00:aa:bb:cc"}, moment)
        assert not tx.fixed_ips.get("10.0.0.3").used_elsewhere, "a guest has it by now"
    (answer,) = allocate(db, allocator, request())
    assert address_of(answer) == "10.0.0.2"


def test_interfaces_are_added_to_and_removed_from_a_server(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network, other = make_network(), make_network("10.1.0.0/28", project_id="other")
    wanted = request()
    (before,) = allocate(db, allocator, wanted)
    server: Any = Server(wanted.instance_uuid)
    with db.write() as tx:
        after = allocator.add_fixed_ip(tx, server, network.uuid)
        assert after[0] == served(before)[0]
        assert [vif.addresses[0].address for vif in after] == ["10.0.0.2", "10.0.0.3"]
        named = allocator.add_fixed_ip(tx, server, network.uuid, "10.0.0.9", "tag")
        assert (named[2].addresses[0].address, named[2].tag) == ("10.0.0.9", "tag")
        with pytest.raises(AddressInUse):
            allocator.add_fixed_ip(tx, server, network.uuid, "10.0.0.9")
        with pytest.raises(NotFound):
            allocator.add_fixed_ip(tx, server, other.uuid)
        left = allocator.remove_fixed_ip(tx, server, "10.0.0.2")
        assert [vif.addresses[0].address for vif in left] == ["10.0.0.3", "10.0.0.9"]
        with pytest.raises(NotFound, match=r"10\.0\.0\.2"):
            allocator.remove_fixed_ip(tx, server, "10.0.0.2")


def test_add_fixed_ip_to_a_full_network_is_refused(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    network = make_network("10.0.0.0/30")
    wanted = request()
    allocate(db, allocator, wanted)
    server: Any = Server(wanted.instance_uuid)
    with db.write() as tx, pytest.raises(NoMoreAddresses):
        allocator.add_fixed_ip(tx, server, network.uuid)


def test_floating_addresses_are_assigned_and_given_back_automatically(
    db: Database, make_network: MakeNetwork
) -> None:
    make_network()
    allocator = NetworkAllocator(dataclasses.replace(FLAT, auto_assign_floating_ip=True))
    with db.write() as tx:
        tx.floating_ips.create_many(["192.0.2.1"], "nova", None)
    first, second = request(), request()
    answers = allocate(db, allocator, first, second)
    assert served(answers[0])[0].addresses[0].floating == ("192.0.2.1",)
    assert isinstance(answers[1], NotFound)
    assert allocate(db, allocator, first) == [answers[0]]
    with db.write() as tx:
        assert tx.fixed_ips.interfaces_of([second.instance_uuid]) == []
        tx.dns.put_domain(DnsDomain("d.org", "public"))
        tx.dns.put(DnsEntry("d.org", "theirs", "192.0.2.1"))
        tx.dns.put(DnsEntry("d.org", "other", "192.0.2.2"))
        allocator.release(tx, [first.instance_uuid])
        assert [each.name for each in tx.dns.entries("d.org")] == ["other"], "its name went with it"
        (floating,) = tx.floating_ips.every()
        assert (floating.project_id, floating.fixed_ip_id) == (None, None)
        assert not floating.auto_assigned


def test_a_taken_mac_is_never_given_twice(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_network()
    rounds = iter([["fa:16:3e:00:00:01"], ["fa:16:3e:00:00:01"], ["fa:16:3e:00:00:02"]])
    monkeypatch.setattr(allocation, "random_macs", lambda _count: next(rounds))
    macs = [served(allocate(db, allocator, request())[0])[0].mac for _ in range(2)]
    assert macs == ["fa:16:3e:00:00:01", "fa:16:3e:00:00:02"]


def test_threads_that_allocate_together_never_share_an_address(
    db: Database, make_network: MakeNetwork, allocator: NetworkAllocator
) -> None:
    make_network("10.0.0.0/24")
    batches = [[request() for _ in range(5)] for _ in range(40)]
    answers: list[tuple[Vif, ...] | NovaError] = []
    failures: list[BaseException] = []

    def work(mine: list[list[AllocationRequest]]) -> None:
        try:
            for batch in mine:
                answers.extend(allocate(db, allocator, *batch))
        except BaseException as error:  # reported below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(batches[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    addresses = [address_of(each) for each in answers]
    assert len(addresses) == 200
    assert len(set(addresses)) == 200
    assert len({served(each)[0].mac for each in answers}) == 200
