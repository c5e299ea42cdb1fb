# SPDX-License-Identifier: Apache-2.0
"""The credentials files of an all-in-one cloud, and what it prints when it is ready."""

from __future__ import annotations

import os
from pathlib import Path

from nova.all_in_one import AllInOne
from nova.identity.bootstrap import BootstrapResult


def write_credentials(cloud: AllInOne, result: BootstrapResult) -> list[Path]:
    """Write ``admin-openrc.sh``, ``demo-openrc.sh``, ``clouds.yaml`` and ``ec2rc.sh``, for their owner only.

    They follow the ports and the address of this start.
    """
    auth_url = f"http://{cloud.public_host}:{cloud.ports.identity}/v3"
    users = {"admin": cloud.secrets.admin_password, "demo": cloud.secrets.demo_password}
    texts = {f"{name}-openrc.sh": _openrc(name, users[name], auth_url) for name in users}
    texts["clouds.yaml"] = "clouds:\n" + "".join(
        _cloud(name, password, auth_url) for name, password in users.items()
    )
    texts["ec2rc.sh"] = _ec2rc(result)
    written = []
    for name, text in texts.items():
        path = cloud.state / name
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(fresh, path)
        written.append(path)
    return written


def _openrc(user: str, password: str, auth_url: str) -> str:
    facts = {
        "OS_AUTH_URL": auth_url, "OS_USERNAME": user, "OS_PASSWORD": password,
        "OS_PROJECT_NAME": user, "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default", "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne", "OS_INTERFACE": "public",
    }
    lines = [f"export {name}='{value}'" for name, value in facts.items()]
    return "# Credentials of user " + user + ": source this file in a shell\n" + "\n".join(lines) + "\n"


def _cloud(user: str, password: str, auth_url: str) -> str:
    return (
        f"  {user}:\n"
        f"    auth:\n"
        f"      auth_url: {auth_url}\n"
        f"      username: {user}\n"
        f"      password: '{password}'\n"
        f"      project_name: {user}\n"
        f"      user_domain_name: Default\n"
        f"      project_domain_name: Default\n"
        f"    region_name: RegionOne\n"
        f"    interface: public\n"
        f"    identity_api_version: '3'\n"
    )


def _ec2rc(result: BootstrapResult) -> str:
    lines = ["# EC2 access keys of user demo (and, commented out, of admin)"]
    if result.demo_ec2 is not None:
        lines += [
            f"export AWS_ACCESS_KEY_ID='{result.demo_ec2.access}'",
            f"export AWS_SECRET_ACCESS_KEY='{result.demo_ec2.secret}'",
        ]
    if result.admin_ec2 is not None:
        lines += [
            f"# export AWS_ACCESS_KEY_ID='{result.admin_ec2.access}'",
            f"# export AWS_SECRET_ACCESS_KEY='{result.admin_ec2.secret}'",
        ]
    return "\n".join(lines) + "\n"


def summary(cloud: AllInOne, files: list[Path]) -> list[str]:
    """What the newcomer is told: endpoints, files, three commands to try."""
    host, ports, state = cloud.public_host, cloud.ports, cloud.state
    hypervisors = "; ".join(cloud.hypervisors())
    if "fake" in cloud.config.default.compute_driver:
        hosts = cloud.config.fake.hosts
        hypervisors = (
            f"instances are simulated by the fake driver on {hosts} hosts (no libvirt is configured)"
        )
    network = (
        [f"  network   http://{host}:{ports.network}"] if cloud.config.network_api.enabled else []
    )
    volume = [f"  volume    http://{host}:{ports.volume}/v3"] if cloud.config.volume.enabled else []
    glance = cloud.config.glance
    image = (glance.addresses() or ("in the catalogue",))[0] if glance.external else None
    services = [
        f"Nova all-in-one cloud, state in {state}",
        f"  {hypervisors}",
        f"  identity  {cloud.identity_url}",
        f"  image     {image or f'http://{host}:{ports.image}'}",
        f"  compute   http://{host}:{ports.compute}/v2.1",
        *network,
        *volume,
    ]
    if not files:
        # Users, endpoints and images are those of somebody else.
        return services
    return [
        *services,
        "  credentials " + ", ".join(str(path) for path in files),
        "try, from another shell:",
        f"  . {state}/demo-openrc.sh",
        "  openstack server create --flavor m1.tiny --image nova-test --wait first",
        "  openstack server list",
    ]
