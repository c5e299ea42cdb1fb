# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration: files given, values set by the command, defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg

from nova.conf import (
    compute_host,
    conductor,
    database,
    default,
    fake,
    identity,
    image,
    libvirt,
    network,
    network_api,
    policy,
    quota,
    scheduler,
)
from nova.conf.section import options_of, read


@dataclasses.dataclass(frozen=True)
class Config:
    """All options, one attribute per group."""

    default: default.DefaultSection
    database: database.DatabaseSection
    conductor: conductor.ConductorSection
    scheduler: scheduler.SchedulerSection
    quota: quota.QuotaSection
    network: network.NetworkSection
    network_api: network_api.NetworkApiSection
    fake: fake.FakeSection
    compute_host: compute_host.ComputeHostSection
    libvirt: libvirt.LibvirtSection
    identity: identity.IdentitySection
    image: image.ImageSection
    policy: policy.PolicySection


SECTIONS: dict[str, tuple[str, type[Any]]] = {
    "default": (default.GROUP, default.DefaultSection),
    "database": (database.GROUP, database.DatabaseSection),
    "conductor": (conductor.GROUP, conductor.ConductorSection),
    "scheduler": (scheduler.GROUP, scheduler.SchedulerSection),
    "quota": (quota.GROUP, quota.QuotaSection),
    "network": (network.GROUP, network.NetworkSection),
    "network_api": (network_api.GROUP, network_api.NetworkApiSection),
    "fake": (fake.GROUP, fake.FakeSection),
    "compute_host": (compute_host.GROUP, compute_host.ComputeHostSection),
    "libvirt": (libvirt.GROUP, libvirt.LibvirtSection),
    "identity": (identity.GROUP, identity.IdentitySection),
    "image": (image.GROUP, image.ImageSection),
    "policy": (policy.GROUP, policy.PolicySection),
}


def load(
    config_files: Sequence[str] = (), overrides: Mapping[tuple[str, str], Any] | None = None
) -> Config:
    """Read ``config_files`` in order, then set ``overrides`` ({(group, option): value}) over them.

    Two sections may live in one oslo.config group (network options are in DEFAULT, as in Kilo).
    Raises ``oslo_config.cfg.Error`` with the option's name for a value of the wrong type.
    """
    conf = cfg.ConfigOpts()
    for group, section in SECTIONS.values():
        conf.register_opts(options_of(section), group=None if group == "DEFAULT" else group)
    conf(args=[], project="nova", default_config_files=list(config_files), default_config_dirs=[])
    for (group, name), value in (overrides or {}).items():
        try:
            conf.set_override(name, value, group=None if group == "DEFAULT" else group)
        except ValueError as error:
            raise cfg.ConfigFileValueError(f"{group}.{name}: {error}") from None
    return Config(
        **{attribute: read(conf, group, section) for attribute, (group, section) in SECTIONS.items()}
    )
