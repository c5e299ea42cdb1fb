# SPDX-License-Identifier: Apache-2.0
"""The cache of rendered servers, and the remembered facts about hosts."""

from __future__ import annotations

import threading

from nova.api.compute.server_fragments import FragmentCache, FragmentKey, Shown, Style
from nova.compute import zones
from nova.compute.zones import ZoneMap
from nova.db.engine import Database

SHOWN: Shown = (1, "nova", "UP")


def key(number: int, style: int = 1) -> FragmentKey:
    return (style, f"uuid{number}")


def test_the_cache_is_bounded_in_bytes_and_keeps_what_is_used() -> None:
    cache = FragmentCache(megabytes=1)
    cache.put(key(0), SHOWN, b"zero")
    for number in range(1, 2000):
        cache.put(key(number), SHOWN, b"x" * 9550)
        assert cache.get(key(0), SHOWN) == b"zero"
        assert len(cache) <= 1024 * 1024 / 10000 + 2
    assert len(cache) > 40
    assert cache.get(key(1), SHOWN) is None


def test_a_server_that_changes_takes_no_more_room() -> None:
    cache = FragmentCache(megabytes=1)
    cache.put(key(1), SHOWN, b"another")
    for revision in range(5000):
        cache.put(key(0), (revision, "nova", "UP"), b"x" * 2000)
        assert cache.get(key(0), (revision, "nova", "UP")) == b"x" * 2000
        assert cache.get(key(0), (revision - 1, "nova", "UP")) is None
    assert cache.get(key(1), SHOWN) == b"another"
    assert len(cache) == 2


def test_every_part_of_the_key_counts() -> None:
    cache = FragmentCache()
    cache.put((1, "u"), (1, "nova", "UP"), b"x")
    for other, shown in (
        ((2, "u"), (1, "nova", "UP")), ((1, "v"), (1, "nova", "UP")), ((1, "u"), (2, "nova", "UP")),
        ((1, "u"), (1, "west", "UP")), ((1, "u"), (1, "nova", "DOWN")),
    ):
        assert cache.get(other, shown) is None


def test_two_styles_never_share_a_number() -> None:
    cache = FragmentCache(styles=4)
    wanted = [Style(minor, frozenset(), "base", "root") for minor in range(1, 40)]
    numbers: list[dict[int, int]] = []

    def ask() -> None:
        numbers.append({style.minor: cache.style(style) for style in wanted})

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner: dict[int, int] = {}
    for found in numbers:
        for minor, number in found.items():
            assert owner.setdefault(number, minor) == minor


def test_zones_are_read_again_after_a_while_or_when_told(db: Database) -> None:
    found = ZoneMap(db, "default")
    assert found.zone_of("h1") == "default"
    with db.write() as tx:
        aggregate = tx.aggregates.create("a", "west")
        tx.aggregates.add_host(aggregate.id, "h1")
    assert found.zone_of("h1") == "default"
    found.forget()
    assert found.zone_of("h1") == "west"
    assert zones.KEEP <= 2
