# SPDX-License-Identifier: Apache-2.0
"""Checks the tokens of callers with an external Keystone, through keystonemiddleware."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from typing import Any
from urllib.parse import quote

import webob
from keystoneauth1 import access, discover, loading
from keystoneauth1 import exceptions as auth_errors
from keystoneauth1.identity.generic import Password
from keystoneauth1.session import Session
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg

from nova.conf.keystone import KeystoneAuthtokenSection
from nova.errors import ServiceUnavailable, Unauthorized
from nova.objects.context import RequestContext

LOG = logging.getLogger(__name__)

#: Tokens that are remembered; with more it starts anew.
_MOST = 10_000
_TIMEOUT = 30
_GROUP = "keystone_authtoken"
#: Seconds that a question beside the request may take.
_ASIDE = 5
#: Kilo's names of the login plug-ins, and those of one version.
_PLUGINS = {"v3password": "v3password", "v2password": "password"}


class KeystoneAuthenticator:
    """An ``Authenticator`` (see ``nova.http.auth``) that asks the identity service of ``section``.

    A token that was found good counts for ``token_cache_time`` seconds, at most until it expires.
    """

    def __init__(self, section: KeystoneAuthtokenSection) -> None:
        self._keep = float(section.token_cache_time)
        self._known: dict[str, tuple[RequestContext, float]] = {}
        self._lock = threading.Lock()
        self._protocol = AuthProtocol(_pass, _protocol_options(section))

    def authenticate(self, token: str) -> RequestContext:
        """The caller that ``token`` stands for.

        Raises ``Unauthorized`` where it is not valid, ``ServiceUnavailable`` where Keystone does not answer.
        """
        found = self._known.get(token)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        facts = self._fetch(token)
        context = context_of(facts, token)
        left = (facts.expires - datetime.datetime.now(datetime.UTC)).total_seconds()
        if left <= 0:
            raise Unauthorized()
        if self._keep > 0:
            with self._lock:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[token] = (context, time.monotonic() + min(self._keep, left))
        return context

    def _fetch(self, token: str) -> access.AccessInfo:
        """What Keystone says of a token, through the middleware as it stands: a request comes out of it."""
        request = webob.Request.blank("/", headers={"X-Auth-Token": token.strip()})
        try:
            status, _headers, _body = request.call_application(self._protocol)
        except auth_errors.ClientException as error:
            LOG.warning("a token could not be checked: %s", error)
            raise ServiceUnavailable("The identity service cannot be asked.") from error
        if status.startswith("200"):
            return access.create(body=request.environ["keystone.token_info"], auth_token=token)
        if status.startswith("401"):
            # Also for tokens whose access rules name single requests: which one this is is not known here.
            raise Unauthorized()
        raise ServiceUnavailable("The identity service does not answer.")


class KeystoneProjects:
    """An ``Ask`` (see ``nova.compute.projects``): the caller's own token asks, as in the original."""

    def __init__(self, section: KeystoneAuthtokenSection) -> None:
        root = (section.identity_url() or "").rstrip("/").removesuffix("/v2.0").removesuffix("/v3")
        self._projects = f"{root}/v3/projects/"
        self._session = Session(
            verify=_verify(section.cafile, section.insecure), cert=_cert(section),
            timeout=min(section.http_connect_timeout or _ASIDE, _ASIDE), app_name="nova",
        )

    def __call__(self, caller: RequestContext, project_id: str) -> bool | None:
        """Whether there is the project; None where Keystone does not answer or does not tell."""
        try:
            answer = self._session.get(
                self._projects + quote(project_id, safe=""), authenticated=False, raise_exc=False,
                headers={"X-Auth-Token": caller.token or "", "Accept": "application/json"},
            )
        except auth_errors.ClientException as error:
            LOG.info("a project could not be asked for: %s", error)
            return None
        if answer.status_code == 404 and _is_refusal(answer):
            return False
        return True if answer.status_code == 200 else None


def _is_refusal(answer: Any) -> bool:
    """Whether a 404 is Keystone's own: something else at its address knows nothing of projects."""
    try:
        document = answer.json()
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), dict)


def _pass(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """What is behind the middleware: a token that comes this far is good."""
    start_response("200 OK", [])
    return [b""]


def context_of(facts: access.AccessInfo, token: str) -> RequestContext:
    """The caller of a validated token."""
    roles = tuple(sorted({name.lower() for name in facts.role_names}))
    return RequestContext(
        user_id=facts.user_id or "", user_name=facts.username or "",
        project_id=facts.project_id or "", project_name=facts.project_name or "",
        user_domain_id=facts.user_domain_id or "default",
        project_domain_id=facts.project_domain_id or "default", domain_id=facts.domain_id,
        system_scope="all" if getattr(facts, "system_scoped", False) else None, roles=roles,
        is_admin="admin" in roles, token=token,
    )


def service_session(section: KeystoneAuthtokenSection) -> Session:
    """Requests with the service's own login, which is renewed by itself."""
    auth = Password(
        auth_url=section.identity_url(), username=section.username, password=section.password,
        project_name=section.project_name, **_domains(section),
    )
    return Session(
        auth=auth, verify=_verify(section.cafile, section.insecure), cert=_cert(section),
        timeout=section.http_connect_timeout or _TIMEOUT, app_name="nova",
    )


def keystone_health(section: KeystoneAuthtokenSection) -> dict[str, Any]:
    """Ask whether the identity service answers; raises ``ServiceUnavailable``."""
    url = section.identity_url() or ""
    session = Session(verify=_verify(section.cafile, section.insecure), timeout=3)
    began = time.perf_counter()
    try:
        discover.get_version_data(session, url, authenticated=False)
    except auth_errors.ClientException as error:
        raise ServiceUnavailable(f"{url}: {error}") from None
    return {"url": url, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


def _protocol_options(section: KeystoneAuthtokenSection) -> dict[str, Any]:
    """What keystonemiddleware is given: options of its own, and none from any file or global."""
    plugin = _PLUGINS.get(section.auth_type, "password")
    login = {
        "auth_url": section.identity_url(), "username": section.username,
        "password": section.password, "project_name": section.project_name, **_domains(section),
    }
    own = cfg.ConfigOpts()
    own(args=[], project="nova", default_config_files=[], default_config_dirs=[])
    own.register_opts(loading.get_auth_plugin_conf_options(plugin), group=_GROUP)
    for name, value in login.items():
        own.set_override(name, value, group=_GROUP)
    given: dict[str, Any] = {
        "oslo_config_config": own, "auth_type": plugin,
        "www_authenticate_uri": section.www_authenticate_uri or section.identity_url(),
        "interface": section.interface, "region_name": section.region_name,
        "auth_version": section.auth_version, "cafile": section.cafile, "certfile": section.certfile,
        "keyfile": section.keyfile, "insecure": section.insecure,
        "http_connect_timeout": section.http_connect_timeout or _TIMEOUT,
        "http_request_max_retries": section.http_request_max_retries,
        # What is known of a token is kept here, as a caller and not as a document.
        "token_cache_time": -1, "include_service_catalog": False,
        "service_token_roles": ",".join(section.service_token_roles),
        "service_token_roles_required": section.service_token_roles_required,
    }
    return {name: value for name, value in given.items() if value is not None}


def _domains(section: KeystoneAuthtokenSection) -> dict[str, str]:
    """The domains of the service's login, by name where one is given."""
    user = (
        {"user_domain_name": section.user_domain_name}
        if section.user_domain_name else {"user_domain_id": section.user_domain_id}
    )
    project = (
        {"project_domain_name": section.project_domain_name}
        if section.project_domain_name else {"project_domain_id": section.project_domain_id}
    )
    return {**user, **project}


def _verify(cafile: str | None, insecure: bool) -> bool | str:
    return False if insecure else (cafile or True)


def _cert(section: KeystoneAuthtokenSection) -> tuple[str, str] | None:
    if section.certfile and section.keyfile:
        return section.certfile, section.keyfile
    return None
