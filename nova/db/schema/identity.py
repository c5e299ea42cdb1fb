# SPDX-License-Identifier: Apache-2.0
"""Tables of the built-in identity service. Nothing else reads or writes them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, UniqueConstraint

from nova.db.schema.base import Document, LongText, Timestamp, created_updated, metadata

# A domain is a row with is_domain set and the empty string as its domain, so that one unique
# constraint keeps the names of domains apart as well. Tokens issued before tokens_valid_since are
# void.
projects = Table(
    "identity_projects",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("parent_id", String(64), index=True),
    Column("is_domain", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", LongText, nullable=False),
    Column("options", Document, nullable=False),
    Column("extra", Document, nullable=False),
    Column("tokens_valid_since", Timestamp),
    *created_updated(),
    UniqueConstraint("domain_id", "name"),
)

project_tags = Table(
    "identity_project_tags",
    metadata,
    Column(
        "project_id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("tag", String(255), primary_key=True),
)

users = Table(
    "identity_users",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), ForeignKey("identity_projects.id"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", String(64), index=True),
    Column("description", LongText),
    Column("email", LongText),
    Column("password_hash", String(128)),
    Column("options", Document, nullable=False),
    Column("extra", Document, nullable=False),
    Column("tokens_valid_since", Timestamp),
    *created_updated(),
    UniqueConstraint("domain_id", "name"),
)

groups = Table(
    "identity_groups",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), ForeignKey("identity_projects.id"), nullable=False),
    Column("description", LongText, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
    UniqueConstraint("domain_id", "name"),
)

group_members = Table(
    "identity_group_members",
    metadata,
    Column(
        "group_id", String(64), ForeignKey("identity_groups.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column(
        "user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Index("ix_identity_group_members_user_id", "user_id"),
)

# domain_id is the empty string for the roles that every domain shares.
roles = Table(
    "identity_roles",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("description", LongText),
    Column("options", Document, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
    UniqueConstraint("domain_id", "name"),
)

implied_roles = Table(
    "identity_implied_roles",
    metadata,
    Column(
        "prior_role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column(
        "implied_role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"),
        primary_key=True,
    ),
)

# actor_type: user or group; target_type: project, domain or system (whose target_id is "system").
role_assignments = Table(
    "identity_role_assignments",
    metadata,
    Column("actor_type", String(8), primary_key=True),
    Column("actor_id", String(64), primary_key=True),
    Column("target_type", String(8), primary_key=True),
    Column("target_id", String(64), primary_key=True),
    Column(
        "role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("inherited", Boolean, primary_key=True),
    Index("ix_identity_role_assignments_target_id", "target_id"),
)

regions = Table(
    "identity_regions",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("parent_region_id", String(255), index=True),
    Column("description", LongText, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
)

services = Table(
    "identity_services",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(255), nullable=False, index=True),
    Column("name", String(255)),
    Column("description", LongText),
    Column("enabled", Boolean, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
)

endpoints = Table(
    "identity_endpoints",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("interface", String(8), nullable=False),
    Column("service_id", String(64), ForeignKey("identity_services.id"), nullable=False),
    Column("region_id", String(255), ForeignKey("identity_regions.id")),
    Column("url", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
    Index("ix_identity_endpoints_service_id", "service_id"),
    Index("ix_identity_endpoints_region_id", "region_id"),
)

# blob is encrypted. An EC2 credential's id is the SHA-256 of its access key.
credentials = Table(
    "identity_credentials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column(
        "user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False
    ),
    Column("project_id", String(64), index=True),
    Column("type", String(255), nullable=False),
    Column("blob", LongText, nullable=False),
    Column("extra", Document, nullable=False),
    *created_updated(),
    Index("ix_identity_credentials_user_id", "user_id"),
)

application_credentials = Table(
    "identity_application_credentials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column(
        "user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False
    ),
    Column(
        "project_id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("description", LongText),
    Column("expires_at", Timestamp),
    Column("unrestricted", Boolean, nullable=False),
    Column("role_ids", Document, nullable=False),
    Column("access_rules", Document, nullable=False),
    Column("secret_hash", String(128), nullable=False),
    *created_updated(),
    UniqueConstraint("user_id", "name"),
    Index("ix_identity_application_credentials_project_id", "project_id"),
)

access_rules = Table(
    "identity_access_rules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column(
        "user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False
    ),
    Column("service", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("path", String(255), nullable=False),
    Index("ix_identity_access_rules_user_id", "user_id"),
)

# Single tokens that were revoked, until they would have expired anyway.
revocations = Table(
    "identity_revocations",
    metadata,
    Column("audit_id", String(32), primary_key=True),
    Column("expires_at", Timestamp, nullable=False, index=True),
)
