# SPDX-License-Identifier: Apache-2.0
"""Who may do what: oslo.policy under the standard rule names, with the decisions remembered.

A decision depends on the rule, the caller's roles and scope, and whose thing it is (project and user);
those are the key of the cache. Changing the policy file clears it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from nova.errors import NovaError, PolicyRefused
from nova.lazy_import import import_later
from nova.objects.context import RequestContext

# oslo.policy wants it for the log of refusals at level debug only, and it compiles 400 regular expressions.
import_later("oslo_utils.strutils")

from oslo_policy import _checks as oslo_checks  # noqa: E402
from oslo_policy import policy as oslo  # noqa: E402

LOG = logging.getLogger(__name__)

#: Held while rules are parsed.
_parsing = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Rule:
    """One default: a standard rule name, who passes, and what it is for."""

    name: str
    check: str
    description: str = ""


class PolicyFileError(NovaError):
    """The policy file cannot be read."""


class Policy:
    """Checks rules against the defaults and the operator's policy file."""

    _LIMIT = 20000

    def __init__(self, rules: Iterable[Rule], policy_file: str | None = None) -> None:
        """Raises ``PolicyFileError`` where the file cannot be read as rules."""
        conf = cfg.ConfigOpts()
        conf(args=[], default_config_files=[], default_config_dirs=[])
        self._file = policy_file
        self._defaults = {rule.name: rule.check for rule in rules}
        self._enforcer = oslo.Enforcer(conf, use_conf=False)
        self._decisions: dict[Any, bool] = {}
        self._stamp = self._file_stamp()
        self._load()

    def _load(self) -> None:
        """The defaults with the file's rules over them."""
        try:
            own = self._own_rules()
            rules = _parse(self._defaults, own)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise PolicyFileError(f"{self._file}: {error}") from None
        self._enforcer.set_rules(rules, use_conf=False)
        self._decisions.clear()

    def _own_rules(self) -> dict[str, str]:
        if self._file is None or not os.path.exists(self._file):
            return {}
        with open(self._file, encoding="utf-8") as file:
            found = oslo.parse_file_contents(file.read())
        if not isinstance(found, dict):
            raise ValueError("it must be a mapping of rule names to rules")
        return found

    def allows(
        self,
        rule: str,
        caller: RequestContext,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> bool:
        """Whether ``caller`` may do ``rule`` to a thing of that project and user.

        Without a project the thing is taken to be the caller's own.
        """
        target_project = caller.project_id if project_id is None else project_id
        target_user = caller.user_id if user_id is None else user_id
        key = (
            rule, caller.roles, caller.is_admin, caller.project_id, caller.user_id,
            caller.domain_id, caller.system_scope, target_project, target_user,
        )
        known = self._decisions.get(key)
        if known is not None:
            return known
        decision = self._decide(rule, caller, target_project, target_user)
        if len(self._decisions) > self._LIMIT:
            self._decisions.clear()
        self._decisions[key] = decision
        return decision

    def check(
        self,
        rule: str,
        caller: RequestContext,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """Raise ``PolicyRefused`` where ``allows`` is false."""
        if not self.allows(rule, caller, project_id=project_id, user_id=user_id):
            raise PolicyRefused(rule)

    def reload_if_changed(self) -> None:
        """Read the policy file again where it changed; a file that is wrong leaves the rules as they were."""
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._load()
        except PolicyFileError as error:
            LOG.error("the policy stays as it was: %s", error.message)

    def _file_stamp(self) -> float:
        if self._file is None or not os.path.exists(self._file):
            return 0.0
        return os.stat(self._file).st_mtime

    def _decide(self, rule: str, caller: RequestContext, project: str, user: str) -> bool:
        credentials = {
            "user_id": caller.user_id, "project_id": caller.project_id,
            "domain_id": caller.domain_id, "system_scope": caller.system_scope,
            "roles": list(caller.roles), "is_admin": caller.is_admin,
            "service_roles": list(caller.service_roles),
        }
        target = {
            "project_id": project, "user_id": user, "tenant_id": project,
            "target.project_id": project,
        }
        return bool(self._enforcer.enforce(rule, target, credentials))


def _parse(defaults: dict[str, str], own: dict[str, str]) -> oslo.Rules:
    """The rules; plug-ins of oslo.policy are looked for only where an operator's rules may name them.

    That takes 4 MB and 50 ms, most of it for the ``requests`` of its checks by HTTP. The defaults name none.
    """
    with _parsing:
        looked_for = getattr(oslo_checks, "extension_checks", {})
        if own or looked_for is not None:
            return oslo.Rules.from_dict({**defaults, **own})
        oslo_checks.extension_checks = {}
        try:
            return oslo.Rules.from_dict(defaults)
        finally:
            oslo_checks.extension_checks = None
