# SPDX-License-Identifier: Apache-2.0
"""The cache of rendered servers, and the remembered facts about hosts."""

from __future__ import annotations

import threading

from nova.api.compute.server_fragments import FragmentCache, FragmentKey, Style
from nova.compute import zones
from nova.compute.zones import ZoneMap
from nova.db.engine import Database


def key(number: int, style: int = 1) -> FragmentKey:
    return (style, f"uuid{number}", 1, "nova", "UP")


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    cache = FragmentCache(limit=100)
    cache.put(key(0), b"zero")
    for number in range(1, 1000):
        cache.put(key(number), b"x")
        assert cache.get(key(0)) == b"zero"
        assert len(cache) <= 100
    assert cache.get(key(1)) is None


def test_every_part_of_the_key_counts() -> None:
    cache = FragmentCache()
    cache.put((1, "u", 1, "nova", "UP"), b"x")
    for other in (
        (2, "u", 1, "nova", "UP"), (1, "v", 1, "nova", "UP"), (1, "u", 2, "nova", "UP"),
        (1, "u", 1, "west", "UP"), (1, "u", 1, "nova", "DOWN"),
    ):
        assert cache.get(other) is None


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
