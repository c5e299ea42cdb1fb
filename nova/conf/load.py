# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration: files given, values set by the command, defaults."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg

from nova.conf import (
    cinder,
    compute_cpus,
    compute_host,
    conductor,
    console,
    console_proxy,
    database,
    default,
    fake,
    glance,
    host_identity,
    identity,
    image,
    keystone,
    libvirt,
    links,
    log,
    messaging,
    metadata,
    metrics,
    network,
    network_api,
    neutron,
    pci,
    policy,
    quota,
    rabbit,
    scheduler,
    volume,
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
    neutron_service: neutron.NeutronSection
    cinder: cinder.CinderSection
    fake: fake.FakeSection
    compute_host: compute_host.ComputeHostSection
    compute_cpus: compute_cpus.ComputeCpusSection
    pci: pci.PciSection
    libvirt: libvirt.LibvirtSection
    log: log.LogSection
    metrics: metrics.MetricsSection
    auth: keystone.AuthStrategySection
    keystone: keystone.KeystoneAuthtokenSection
    glance: glance.GlanceSection
    host_identity: host_identity.HostIdentitySection
    identity: identity.IdentitySection
    image: image.ImageSection
    volume: volume.VolumeSection
    policy: policy.PolicySection
    metadata_service: metadata.MetadataSection
    api: metadata.ApiMetadataSection
    proxy_headers: links.ProxyHeadersSection
    links: links.LinksSection
    metadata_proxy: metadata.NeutronProxySection
    consoleauth: console.ConsoleAuthSection
    vnc: console.VncSection
    spice: console.SpiceSection
    serial_console: console.SerialConsoleSection
    mks: console.MksSection
    console_daemon: console_proxy.ConsoleProxySection
    console_access: console_proxy.ConsoleAccessSection
    console_session: console_proxy.ConsoleSessionSection
    vnc_security: console_proxy.VncSecuritySection
    messaging: messaging.MessagingSection
    rabbit: rabbit.RabbitSection


SECTIONS: dict[str, tuple[str, type[Any]]] = {
    "default": (default.GROUP, default.DefaultSection),
    "database": (database.GROUP, database.DatabaseSection),
    "conductor": (conductor.GROUP, conductor.ConductorSection),
    "scheduler": (scheduler.GROUP, scheduler.SchedulerSection),
    "quota": (quota.GROUP, quota.QuotaSection),
    "network": (network.GROUP, network.NetworkSection),
    "network_api": (network_api.GROUP, network_api.NetworkApiSection),
    "neutron_service": (neutron.GROUP, neutron.NeutronSection),
    "cinder": (cinder.GROUP, cinder.CinderSection),
    "fake": (fake.GROUP, fake.FakeSection),
    "compute_host": (compute_host.GROUP, compute_host.ComputeHostSection),
    "compute_cpus": (compute_cpus.GROUP, compute_cpus.ComputeCpusSection),
    "pci": (pci.GROUP, pci.PciSection),
    "libvirt": (libvirt.GROUP, libvirt.LibvirtSection),
    "log": (log.GROUP, log.LogSection),
    "metrics": (metrics.GROUP, metrics.MetricsSection),
    "auth": ("DEFAULT", keystone.AuthStrategySection),
    "keystone": (keystone.GROUP, keystone.KeystoneAuthtokenSection),
    "glance": (glance.GROUP, glance.GlanceSection),
    "host_identity": (host_identity.GROUP, host_identity.HostIdentitySection),
    "identity": (identity.GROUP, identity.IdentitySection),
    "image": (image.GROUP, image.ImageSection),
    "volume": (volume.GROUP, volume.VolumeSection),
    "policy": (policy.GROUP, policy.PolicySection),
    "metadata_service": (metadata.GROUP, metadata.MetadataSection),
    "api": (metadata.API_GROUP, metadata.ApiMetadataSection),
    "links": (links.GROUP, links.LinksSection),
    "proxy_headers": (links.MIDDLEWARE_GROUP, links.ProxyHeadersSection),
    "metadata_proxy": (metadata.NEUTRON_GROUP, metadata.NeutronProxySection),
    "consoleauth": (console.CONSOLEAUTH_GROUP, console.ConsoleAuthSection),
    "vnc": (console.VNC_GROUP, console.VncSection),
    "spice": (console.SPICE_GROUP, console.SpiceSection),
    "serial_console": (console.SERIAL_GROUP, console.SerialConsoleSection),
    "mks": (console.MKS_GROUP, console.MksSection),
    "console_daemon": (console_proxy.GROUP, console_proxy.ConsoleProxySection),
    "console_access": (console_proxy.CONSOLE_GROUP, console_proxy.ConsoleAccessSection),
    "console_session": (console_proxy.SESSION_GROUP, console_proxy.ConsoleSessionSection),
    "vnc_security": (console_proxy.VNC_GROUP, console_proxy.VncSecuritySection),
    "messaging": (messaging.GROUP, messaging.MessagingSection),
    "rabbit": (rabbit.GROUP, rabbit.RabbitSection),
}


def load(
    config_files: Sequence[str] = (), overrides: Mapping[tuple[str, str], Any] | None = None
) -> Config:
    """Read ``config_files`` in order, then set ``overrides`` ({(group, option): value}) over them.

    Two sections may live in one oslo.config group (network options are in DEFAULT, as in Kilo).
    Raises ``oslo_config.cfg.Error`` with the option's name for a value of the wrong type.
    """
    # A former name is told once the log is open, by nova.conf.check.
    logging.getLogger("oslo_config.cfg").setLevel(logging.ERROR)
    conf = cfg.ConfigOpts()
    for group, section in SECTIONS.values():
        conf.register_opts(options_of(section), group=None if group == "DEFAULT" else group)
    conf(args=[], project="nova", default_config_files=list(config_files), default_config_dirs=[])
    repeatable = _repeatable()
    for (group, name), given in (overrides or {}).items():
        value = [given] if (group, name) in repeatable and isinstance(given, str) else given
        try:
            conf.set_override(name, value, group=None if group == "DEFAULT" else group)
        except ValueError as error:
            raise cfg.ConfigFileValueError(f"{group}.{name}: {error}") from None
    return Config(
        **{attribute: read(conf, group, section) for attribute, (group, section) in SECTIONS.items()}
    )


def _repeatable() -> set[tuple[str, str]]:
    """The options that may be given several times, as (group, option)."""
    return {
        (group, field.name)
        for group, section in SECTIONS.values()
        for field in dataclasses.fields(section)
        if field.metadata["multi"]
    }
