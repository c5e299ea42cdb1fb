# SPDX-License-Identifier: Apache-2.0
"""The default policy of the compute API: standard rule names (API guide, "Policy Reference").

Each resource module lists its own rules as ``RULES``; ``routes`` joins them. This module has the check
strings that they share.
"""

from __future__ import annotations

from nova.policy import Rule

ADMIN = "rule:context_is_admin"
MEMBER_OR_ADMIN = "rule:project_member_or_admin"
READER_OR_ADMIN = "rule:project_reader_or_admin"
MANAGER_OR_ADMIN = "rule:project_manager_or_admin"
ANYONE = "@"

BASE = (
    Rule("context_is_admin", "role:admin", "Who is an administrator."),
    Rule("admin_api", "is_admin:True", "Kilo's name for administrators."),
    Rule("admin_or_owner", "is_admin:True or project_id:%(project_id)s", "Kilo's default rule."),
    Rule("project_manager_or_admin",
         "rule:context_is_admin or (role:manager and project_id:%(project_id)s)",
         "Managers of the project."),
    Rule("project_member_or_admin",
         "rule:context_is_admin or (role:member and project_id:%(project_id)s) or "
         "(role:_member_ and project_id:%(project_id)s)", "Members of the project."),
    Rule("project_reader_or_admin",
         "rule:context_is_admin or (role:reader and project_id:%(project_id)s) or "
         "(role:_member_ and project_id:%(project_id)s)", "Readers of the project."),
)
