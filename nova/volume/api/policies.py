# SPDX-License-Identifier: Apache-2.0
"""The rules of the Block Storage API, under Cinder's names."""

from __future__ import annotations

from nova.policy import Rule

_ADMIN = "role:admin"
_MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
_READER = "role:admin or (role:reader and project_id:%(project_id)s)"
_ANYBODY = "@"

_BY_CHECK: dict[str, tuple[str, ...]] = {
    _ANYBODY: (
        "volume:availability_zone_list", "volume_extension:type_get", "volume_extension:type_get_all",
        "volume_extension:volume_type_encryption:get",
    ),
    _READER: (
        "volume:get", "volume:get_all", "volume:get_volume_metadata", "volume:get_snapshot",
        "volume:get_all_snapshots", "volume:get_snapshot_metadata", "volume:get_transfer",
        "volume:get_all_transfers", "volume_extension:quotas:show",
        "message:get", "message:get_all", "limits_extension:used_limits",
        "volume_extension:volume_image_metadata:show",
        "volume_extension:volume_encryption_metadata",
    ),
    _MEMBER: (
        "volume:create", "volume:update", "volume:delete", "volume:extend",
        "volume:extend_attached_volume", "volume:revert_to_snapshot", "volume:retype",
        "volume:update_readonly_flag", "volume:reimage", "volume:reimage_reserved",
        "volume:create_volume_metadata", "volume:update_volume_metadata",
        "volume:delete_volume_metadata", "volume:create_snapshot", "volume:update_snapshot",
        "volume:delete_snapshot", "volume:update_snapshot_metadata",
        "volume:delete_snapshot_metadata", "volume:attachment_create", "volume:attachment_update",
        "volume:attachment_delete", "volume:attachment_complete", "volume:create_transfer",
        "message:delete", "volume:accept_transfer", "volume:delete_transfer",
        "volume_extension:volume_actions:reserve", "volume_extension:volume_actions:unreserve",
        "volume_extension:volume_actions:begin_detaching",
        "volume_extension:volume_actions:roll_detaching", "volume_extension:volume_actions:attach",
        "volume_extension:volume_actions:detach",
        "volume_extension:volume_actions:initialize_connection",
        "volume_extension:volume_actions:terminate_connection",
        "volume_extension:volume_actions:upload_image",
        "volume_extension:volume_image_metadata:set",
        "volume_extension:volume_image_metadata:remove",
        "snapshot_extension:snapshot_actions:update_snapshot_status",
    ),
    _ADMIN: (
        "volume:force_delete", "volume_extension:volume_admin_actions:reset_status",
        "volume_extension:volume_admin_actions:force_delete",
        "volume_extension:volume_admin_actions:force_detach",
        "volume_extension:volume_admin_actions:migrate_volume",
        "volume_extension:volume_actions:upload_public",
        "volume_extension:snapshot_admin_actions:reset_status",
        "volume_extension:snapshot_admin_actions:force_delete",
        "volume_extension:type_create", "volume_extension:type_update",
        "volume_extension:type_delete", "volume_extension:types_extra_specs:read_sensitive",
        "volume_extension:types_extra_specs:create", "volume_extension:types_extra_specs:update",
        "volume_extension:types_extra_specs:delete",
        "volume_extension:volume_type_access:get_all_for_type",
        "volume_extension:volume_type_access:addProjectAccess",
        "volume_extension:volume_type_access:removeProjectAccess",
        "volume_extension:default_set_or_update", "volume_extension:default_get",
        "volume_extension:default_get_all", "volume_extension:default_unset",
        "volume_extension:quotas:update", "volume_extension:quotas:delete",
        "volume_extension:quota_classes:get", "volume_extension:quota_classes:update",
        "volume_extension:services:index", "volume_extension:services:update",
        "volume_extension:hosts", "volume_extension:capabilities",
        "volume_extension:qos_specs_manage:get_all", "volume_extension:qos_specs_manage:create",
        "scheduler_extension:scheduler_stats:get_pools", "clusters:get_all",
    ),
}

RULES: tuple[Rule, ...] = tuple(
    Rule(name, check) for check, names in _BY_CHECK.items() for name in names
)
