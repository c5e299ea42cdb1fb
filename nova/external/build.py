# SPDX-License-Identifier: Apache-2.0
"""Makes the external companions that the configuration names; None where the built-in one is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nova.conf import Config
from nova.errors import NovaError

if TYPE_CHECKING:
    from nova.external.cinder import CinderVolumes
    from nova.external.glance import GlanceImages
    from nova.external.keystone import KeystoneProjects
    from nova.http.auth import Authenticator


class ExternalServiceMisconfigured(NovaError):
    """What the configuration says of an external service cannot be used; names the option."""


def external_authenticator(config: Config) -> Authenticator | None:
    """Who checks tokens with the Keystone of [keystone_authtoken].

    Raises ``ExternalServiceMisconfigured``.
    """
    if config.keystone.identity_url() is None:
        return None
    _require_login(config, "[keystone_authtoken] auth_url")
    from nova.external.keystone import KeystoneAuthenticator

    return KeystoneAuthenticator(config.keystone)


def external_projects(config: Config) -> KeystoneProjects | None:
    """Who knows the projects of the Keystone of [keystone_authtoken]; None for the built-in one."""
    if config.keystone.identity_url() is None:
        return None
    from nova.external.keystone import KeystoneProjects

    return KeystoneProjects(config.keystone)


def external_images(config: Config) -> GlanceImages | None:
    """The images of the Glance of [glance]. Raises ``ExternalServiceMisconfigured``."""
    if not config.glance.external:
        return None
    if config.keystone.identity_url() is None:
        raise ExternalServiceMisconfigured(
            "[glance] names an image service, which only takes tokens of an identity service that is not "
            "built in: set [keystone_authtoken] auth_url."
        )
    _require_login(config, "[glance]")
    from nova.external.glance import GlanceImages
    from nova.external.keystone import service_session

    return GlanceImages(config.glance, service_session(config.keystone))


def external_volumes(config: Config) -> CinderVolumes | None:
    """The volumes of the Cinder of [cinder]. Raises ``ExternalServiceMisconfigured``."""
    section = config.cinder
    if not section.external:
        return None
    if section.auth_url is None and config.keystone.identity_url() is None:
        raise ExternalServiceMisconfigured(
            "[cinder] names a block storage service, and nothing says where compute logs in for it: set "
            "[cinder] auth_url, or [keystone_authtoken] auth_url."
        )
    if section.auth_url is None:
        _require_login(config, "[cinder]")
    try:
        from nova.external.cinder import CinderVolumes
        from nova.external.keystone import service_session
    except ModuleNotFoundError:
        raise ExternalServiceMisconfigured(
            "[cinder] names an external service, which needs the Python packages keystoneauth1 and "
            "keystonemiddleware: install nova-fabric[external]."
        ) from None
    login = config.keystone
    if section.auth_url is not None:
        login = dataclasses.replace(
            login, auth_url=section.auth_url, username=section.username, password=section.password,
            project_name=section.project_name, user_domain_name=section.user_domain_name,
            project_domain_name=section.project_domain_name, cafile=section.cafile,
            insecure=section.insecure,
        )
    return CinderVolumes(section, service_session(login))


def identity_url_for_users(config: Config) -> str | None:
    """The address that callers without a token are told; None for the built-in identity service's own."""
    return config.keystone.www_authenticate_uri or config.keystone.identity_url()


def external_health(
    config: Config, images: GlanceImages | None
) -> dict[str, Callable[[], dict[str, Any]]]:
    """What ``make_health`` takes as ``others``."""
    asked: dict[str, Callable[[], dict[str, Any]]] = {}
    if config.keystone.identity_url() is not None:
        from nova.external.keystone import keystone_health

        asked["identity"] = lambda: keystone_health(config.keystone)
    if images is not None:
        asked["image"] = images.health
    volumes = external_volumes(config)
    if volumes is not None:
        asked["volume"] = volumes.health
    return asked


def _require_login(config: Config, option: str) -> None:
    missing = [
        name for name in ("username", "password", "project_name") if not getattr(config.keystone, name)
    ]
    if missing:
        raise ExternalServiceMisconfigured(
            f"{option} names an external service; [keystone_authtoken] lacks {', '.join(missing)}."
        )
    try:
        import keystonemiddleware  # noqa: F401
    except ModuleNotFoundError:
        raise ExternalServiceMisconfigured(
            f"{option} names an external service, which needs the Python package keystonemiddleware: "
            "install nova-fabric[external]."
        ) from None
