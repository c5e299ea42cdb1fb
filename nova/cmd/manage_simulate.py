# SPDX-License-Identifier: Apache-2.0
"""``nova-manage simulate``: try filters and weighers on simulated hosts before a cloud uses them."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Iterable

from oslo_config import cfg

from nova.cmd.manage_session import Command, CommandError, Session, argument
from nova.conf.scheduler import SchedulerSection
from nova.conf.section import options_of
from nova.scheduler.simulation import (
    Outcome,
    SimulatedHosts,
    Simulation,
    TraceEvent,
    random_trace,
    read_trace,
)

#: Sizes of the servers of a trace that is made up: Kilo's first four flavors (vcpus, MiB, GiB).
_SIZES = ((1, 512, 1), (1, 2048, 20), (2, 4096, 40), (4, 8192, 80))

_EXAMPLES = """\
examples:
  nova-manage simulate run --hosts 40 --zones east,west --servers 2000
  nova-manage simulate run --hosts 40 --servers 2000 --weighers RAMWeigher --schedulers 3
  nova-manage simulate run --hosts 40 --hot 2 --option load_hash_measured=0
  nova-manage simulate run --hosts 12 --vcpus 64 --memory_mb 262144 --disk_gb 4000 --trace day.jsonl

a trace is a file with one JSON object a line; vcpus 0 deletes the server:
  {"at": 0.5, "server": "a", "vcpus": 2, "memory_mb": 4096, "disk_gb": 40, "zone": "east"}
  {"at": 9.0, "server": "a"}
"""


def _run(arguments: argparse.Namespace, session: Session) -> None:
    section = session.config.scheduler
    if arguments.weighers:
        section = dataclasses.replace(section, weight_classes=tuple(arguments.weighers.split(",")))
    if arguments.filters:
        section = dataclasses.replace(section, enabled_filters=tuple(arguments.filters.split(",")))
    for text in arguments.options:
        section = _with_option(section, text)
    zones = tuple(arguments.zones.split(",")) if arguments.zones else ()
    try:
        simulation = Simulation(
            SimulatedHosts(
                count=arguments.hosts, vcpus=arguments.vcpus, memory_mb=arguments.memory_mb,
                disk_gb=arguments.disk_gb, zones=zones, noise_percent=arguments.noise,
                hot=arguments.hot, hot_percent=arguments.hot_percent,
                build_seconds=arguments.build_seconds,
            ),
            section, schedulers=arguments.schedulers, stale_seconds=arguments.stale,
            seed=arguments.seed,
        )
        outcome = simulation.run(_trace(arguments, zones))
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from None
    _print(session, outcome, arguments.hot)


def _with_option(section: SchedulerSection, text: str) -> SchedulerSection:
    """The section with one option set, checked as oslo.config checks it."""
    name, equals, value = text.partition("=")
    conf = cfg.ConfigOpts()
    conf.register_opts(options_of(type(section)))
    conf(args=[], default_config_files=[], default_config_dirs=[])
    try:
        conf.set_override(name, value)
    except (cfg.Error, ValueError) as error:
        raise CommandError(f"--option {text}: {error}") from None
    if not equals:
        raise CommandError(f"--option {text}: write it as NAME=VALUE")
    values = dataclasses.asdict(section)
    values[name] = tuple(conf[name]) if isinstance(conf[name], list) else conf[name]
    return SchedulerSection(**values)


def _trace(arguments: argparse.Namespace, zones: tuple[str, ...]) -> Iterable[TraceEvent]:
    if arguments.trace:
        with open(arguments.trace, encoding="utf-8") as lines:
            return list(read_trace(lines))
    return random_trace(
        arguments.servers, _SIZES, zones=zones, deletes=arguments.deletes, seed=arguments.seed
    )


def _print(session: Session, outcome: Outcome, hot: int) -> None:
    shown: list[list[object]] = []
    if 0 < hot < len(outcome.servers):
        shown = [
            [f"servers on a {kind}, mean", f"{statistics.mean(servers):.1f}"]
            for kind, servers in (
                ("hot host", outcome.servers[:hot]), ("host that is not hot", outcome.servers[hot:])
            )
        ]
    session.table(
        ["measure", "value"],
        [
            ["placed", outcome.placed],
            ["rejected", outcome.rejected],
            ["lost races", outcome.lost_races],
            ["servers on a host, most minus least in a zone", outcome.max_minus_min()],
            *shown,
            ["deviation of claimed memory", f"{outcome.memory_deviation() * 100:.1f} %"],
            ["fragmentation of free memory", f"{outcome.fragmentation * 100:.1f} %"],
        ],
    )


GROUPS = {
    "simulate": (
        "Try filters and weighers on simulated hosts",
        (
            Command(
                "run", "Replay a trace of creates and deletes, and print how it came out", _run,
                (
                    argument("--hosts", type=int, default=40, help="how many hosts (40)"),
                    argument("--zones", help="availability zones, dealt to the hosts in turn"),
                    argument("--vcpus", type=int, default=64, help="CPUs of a host (64)"),
                    argument("--memory_mb", type=int, default=262144, help="MiB of a host (262144)"),
                    argument("--disk_gb", type=int, default=10000, help="GiB of a host (10000)"),
                    argument("--trace", metavar="FILE", help="replay this file"),
                    argument("--servers", type=int, default=2000,
                             help="without a trace: so many servers of Kilo's sizes (2000)"),
                    argument("--deletes", type=float, default=0.0,
                             help="without a trace: chance of a delete after each create (0)"),
                    argument("--weighers", help="weighers, over the configuration"),
                    argument("--filters", help="filters, over the configuration"),
                    argument("--option", dest="options", action="append", default=[],
                             metavar="NAME=VALUE", help="one option of [filter_scheduler]"),
                    argument("--schedulers", type=int, default=1, help="how many at once (1)"),
                    argument("--stale", type=float, default=2.0,
                             help="seconds that their tables may be behind (2)"),
                    argument("--noise", type=float, default=10.0, metavar="PERCENT",
                             help="how far the CPU use that hosts measure goes up and down (10)"),
                    argument("--hot", type=int, default=0,
                             help="so many hosts are busy with something that is no server (0)"),
                    argument("--hot_percent", type=float, default=50.0, metavar="PERCENT",
                             help="how much of their CPUs that takes (50)"),
                    argument("--build_seconds", type=float, default=5.0,
                             help="how long a server builds (5)"),
                    argument("--seed", type=int, default=0, help="another random trace"),
                ),
                examples=_EXAMPLES, needs_database=False,
            ),
        ),
    ),
}
