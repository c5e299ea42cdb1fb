# SPDX-License-Identifier: Apache-2.0
"""Options of Kilo and of later releases that mean nothing here, and what took their place.

They are accepted with one warning each. A name that is an option (again) counts as that: this table is
only asked about names that no section has. ``*`` stands for all other names of a group.
"""

from __future__ import annotations

_ALWAYS = "it is always so here"
_NO_CELLS = "there are no cells: one database serves the whole cloud"
_NO_CERT = "there is no certificate service; let a proxy in front of the APIs speak TLS"
_NO_QUEUE_NAMES = "topics are fixed; only hosts have names"
_ONE_CLASS = "there is one implementation, and it needs no choice"
_NO_NETWORK_DNS = (
    "DNS domains and their names are kept in the database, and every host's dnsmasq answers them "
    "(os-floating-ip-dns, instance_dns_domain)"
)
_NFTABLES = "security groups and address translation are nftables rules, set in one transaction"
_PROCESSES = "a process runs requests on threads; start more processes for more workers"
_PROXY_TLS = "the APIs speak plain HTTP: let a proxy in front of them speak TLS"
_XVP = "XenServer's consoles went with its driver"
_VENDOR = "that hypervisor's driver does not exist here; there are libvirt, vmware and fake"
_VOLUMES = "volumes are attached by Cinder's own description of the connection"
_NOT_NEEDED = "nothing here needs it"
_USAGE = "usage is counted with the row that changes, so there is nothing to heal or expire"
_OPERATIONS = "every request is a durable operation that is taken up again by itself"
_EC2_URL = "the EC2 API asks the identity service of [keystone_authtoken], or the built-in one"
_INJECTION = "nothing is written into guests' disks; cloud-init reads metadata or the config drive"
_IMAGE_CACHE = "cached images are looked at whenever a guest leaves (remove_unused_base_images)"
_NO_EVENTLET = "processes use threads; there is no eventlet"
_RATE = "requests are not limited by rate here; let a proxy do it"
_SECRETS = "keys are kept by the service itself; there is no key manager"

RETIRED: dict[tuple[str, str], str] = {}


def _retire(group: str, names: str, why: str) -> None:
    for name in names.split():
        RETIRED[group, name] = why


_retire("DEFAULT", "firewall_driver", _NFTABLES)
_retire(
    "DEFAULT",
    "iptables_top_regex iptables_bottom_regex iptables_drop_action ebtables_exec_attempts "
    "ebtables_retry_interval defer_iptables_apply",
    _NFTABLES,
)
_retire(
    "DEFAULT", "security_group_api",
    "the network API decides: security groups are the built-in ones unless use_neutron is set",
)
_retire(
    "DEFAULT", "rpc_backend", "daemons speak through the RabbitMQ of transport_url or of "
    "[oslo_messaging_rabbit]; the cloud in one process needs none",
)
_retire("DEFAULT", "api_rate_limit lockout_attempts lockout_minutes lockout_window", _RATE)
_retire(
    "DEFAULT",
    "keystone_ec2_url keystone_ec2_insecure ec2_dmz_host ec2_host ec2_port ec2_scheme ec2_path "
    "ec2_listen ec2_listen_port ec2_workers region_list ec2_private_dns_show_ip ec2_strict_validation "
    "ec2_timestamp_expiry",
    _EC2_URL,
)
_retire("DEFAULT", "osapi_compute_extension osapi_compute_ext_list", "all extensions are always there")
_retire("DEFAULT", "osapi_compute_workers", _PROCESSES)
_retire(
    "DEFAULT", "enabled_apis",
    "each API has a command of its own; start those that are wanted",
)
_retire("DEFAULT", "enabled_ssl_apis ssl_ca_file ssl_cert_file ssl_key_file", _PROXY_TLS)
_retire(
    "DEFAULT",
    "api_paste_config wsgi_log_format wsgi_default_pool_size max_header_line wsgi_keep_alive "
    "client_socket_timeout tcp_keepidle",
    "the HTTP server is built in and needs no settings",
)
_retire(
    "DEFAULT",
    "ca_file key_file crl_file keys_path ca_path use_project_ca user_cert_subject project_cert_subject "
    "cert_topic cert_manager",
    _NO_CERT,
)
_retire(
    "DEFAULT",
    "vpn_image_id vpn_flavor boot_script_template dmz_net dmz_mask vpn_key_suffix vpn_ip",
    "there are no cloudpipe VPNs",
)
_retire(
    "DEFAULT", "compute_topic scheduler_topic network_topic console_topic consoleauth_topic", _NO_QUEUE_NAMES
)
_retire(
    "DEFAULT",
    "compute_manager console_manager consoleauth_manager metadata_manager scheduler_manager "
    "scheduler_driver scheduler_host_manager compute_stats_class db_driver quota_driver "
    "servicegroup_driver volume_api_class console_driver ipv6_backend compute_resources",
    _ONE_CLASS,
)
_retire(
    "DEFAULT",
    "scheduler_driver_task_period scheduler_tracks_instance_changes scheduler_instance_sync_interval "
    "scheduler_json_config_location baremetal_scheduler_default_filters scheduler_use_baremetal_filters",
    "the scheduler's table follows the database",
)
_retire("DEFAULT", "reservation_expire until_refresh max_age", _USAGE)
_retire("DEFAULT", "policy_file policy_dirs policy_default_rule", "set it in [oslo_policy]")
_retire("DEFAULT", "lock_path disable_process_locking", "set it in [oslo_concurrency]")
_retire(
    "DEFAULT",
    "floating_ip_dns_manager instance_dns_manager ldap_dns_url ldap_dns_user "
    "ldap_dns_password ldap_dns_soa_hostmaster ldap_dns_servers ldap_dns_base_dn ldap_dns_soa_refresh "
    "ldap_dns_soa_retry ldap_dns_soa_expiry ldap_dns_soa_minimum",
    _NO_NETWORK_DNS,
)
_retire(
    "DEFAULT", "linuxnet_interface_driver linuxnet_ovs_integration_bridge ovs_vsctl_timeout",
    "bridges are Linux bridges, made through netlink",
)
_retire(
    "DEFAULT",
    "rootwrap_config disable_rootwrap",
    "no command is run as another user: the unit files give the daemons the capabilities they need",
)
_retire("DEFAULT", "backdoor_port monkey_patch monkey_patch_modules", _NO_EVENTLET)
_retire("DEFAULT", "memcached_servers", "tokens are kept in the process that checked them")
_retire(
    "DEFAULT", "periodic_enable periodic_fuzzy_delay run_external_periodic_tasks", _ALWAYS,
)
_retire(
    "DEFAULT",
    "heal_instance_info_cache_interval bandwidth_poll_interval volume_usage_poll_interval "
    "running_deleted_instance_action running_deleted_instance_poll_interval "
    "running_deleted_instance_timeout instance_delete_interval maximum_instance_delete_attempts "
    "shelved_poll_interval reboot_timeout migrate_max_retries live_migration_retry_count "
    "network_allocate_retries block_device_allocate_retries block_device_allocate_retries_interval",
    _OPERATIONS,
)
_retire("DEFAULT", "image_cache_manager_interval image_cache_subdirectory_name", _IMAGE_CACHE)
_retire(
    "DEFAULT",
    "flat_injected injected_network_template",
    _INJECTION,
)
_retire(
    "DEFAULT",
    "xvpvncproxy_base_url xvpvncproxy_port xvpvncproxy_host console_xvp_conf_template console_xvp_conf "
    "console_xvp_pid console_xvp_log console_xvp_multiplex_port console_public_hostname stub_compute "
    "console_host",
    _XVP,
)
_retire(
    "DEFAULT", "daemon record source_is_ipv6",
    "the console proxies take no such option; systemd starts them",
)
_retire(
    "DEFAULT",
    "notify_on_state_change notify_api_faults default_notification_level default_publisher_id "
    "notification_driver notification_topics",
    "no notifications are sent; read os-instance-actions or the metrics",
)
_retire(
    "DEFAULT", "compute_available_monitors compute_monitors",
    "hosts measure CPU and memory with every report",
)
_retire("DEFAULT", "fatal_deprecations fatal_exception_format_errors publish_errors", _NOT_NEEDED)
_retire(
    "DEFAULT", "pybasedir bindir tempdir fping_path virt_mkfs timeout_nbd resize_fs_using_block_device",
    _NOT_NEEDED,
)
_retire(
    "DEFAULT",
    "s3_host s3_port s3_access_key s3_secret_key s3_use_ssl s3_affix_tenant image_decryption_dir "
    "buckets_path s3_listen s3_listen_port",
    "the object store has a group of its own",
)
_retire(
    "DEFAULT",
    "use_neutron_default_nets neutron_default_tenant_id enable_network_quota quota_networks",
    "tenant networks are made by administrators",
)
_retire("DEFAULT", "fake_call", _NOT_NEEDED)
_retire("DEFAULT", "default_flavor null_kernel", _NOT_NEEDED)
_retire("DEFAULT", "multi_instance_display_name_template", "servers of one request are named NAME-N")
_retire("DEFAULT", "allow_instance_snapshots", "take the right away in policy.yaml")
_retire("DEFAULT", "osapi_hide_server_address_states", "addresses are shown once a server is built")
_retire(
    "DEFAULT", "log_format", "set logging_context_format_string and logging_default_format_string"
)
_retire("DEFAULT", "use_syslog_rfc_format syslog-log-facility", "lines go to /dev/log as syslog has them")
_retire(
    "DEFAULT",
    "log_rotation_type log_rotate_interval log_rotate_interval_type max_logfile_count max_logfile_size_mb "
    "watch_log_file",
    "let logrotate move the file; it is opened anew then",
)
_retire("DEFAULT", "use_journal use_eventlog", "under systemd standard error goes to the journal")
_retire(
    "DEFAULT", "rate_limit_interval rate_limit_burst rate_limit_except_level", "no line is left out"
)
_retire(
    "DEFAULT",
    "amqp_auto_delete amqp_durable_queues control_exchange rpc_cast_timeout rpc_conn_pool_size "
    "rpc_thread_pool_size executor_thread_pool_size",
    "the transport sets its queues and threads up by itself",
)
_retire("DEFAULT", "admin_token", _NOT_NEEDED)
_retire("DEFAULT", "vnc_keymap", "VNC clients send key symbols, which need no map")

_retire("oslo_concurrency", "lock_path", "no lock is a file; rows of the database exclude each other")
_retire("oslo_concurrency", "*", _NOT_NEEDED)
_retire(
    "database",
    "backend use_db_reconnect db_inc_retry_interval db_retry_interval "
        "db_max_retry_interval db_max_retries use_tpool", "deadlocks and lost connections are tried again")
_retire(
    "database",
    "min_pool_size idle_timeout connection_recycle_time max_overflow pool_timeout connection_debug "
    "connection_trace sqlite_db sqlite_synchronous slave_connection mysql_sql_mode max_retries "
    "retry_interval mysql_enable_ndb mysql_wsrep_sync_wait connection_parameters asyncio_connection "
    "asyncio_slave_connection synchronous_reader",
    "the pool keeps max_pool_size connections and checks each before use",
)
_retire("api_database", "*", f"{_NO_CELLS}; set [database] connection")
_retire("cells", "*", _NO_CELLS)
_retire("upgrade_levels", "*", "messages of one release back are understood without being told")
_retire("osapi_v3", "*", "v2 and v2.1 are always served")
_retire("conductor", "use_local", "hosts never reach the database")
_retire("conductor", "topic", _NO_QUEUE_NAMES)
_retire("conductor", "manager", _ONE_CLASS)
_retire("conductor", "workers", _PROCESSES)
_retire("remote_debug", "*", "attach py-spy or a debugger by process id")
_retire("image_file_url", "*", "images are read through the image service")
_retire("keymgr", "*", _SECRETS)
_retire("key_manager", "*", _SECRETS)
_retire("barbican", "*", _SECRETS)
_retire("vault", "*", _SECRETS)
_retire("ssl", "*", _PROXY_TLS)
_retire("rdp", "*", _VENDOR)
_retire("hyperv", "*", _VENDOR)
_retire("ironic", "*", _VENDOR)
_retire("xenserver", "*", _VENDOR)
_retire("zvm", "*", _VENDOR)
_retire("powervm", "*", _VENDOR)
_retire("trusted_computing", "*", "the attestation service it spoke to is gone; use traits of flavors")
_retire("zookeeper", "*", "services are up while they report to the database")
_retire("workarounds", "*", "what they work around does not exist here")
_retire("guestfs", "*", _INJECTION)
_retire("ephemeral_storage_encryption", "*", "encrypt the host's disks")
_retire("placement", "*", "claims are in the cloud's own database")
_retire("placement_database", "*", "claims are in the cloud's own database")
_retire("scheduler", "driver periodic_task_interval discover_hosts_in_cells_interval workers "
        "max_placement_results limit_tenants_to_placement_aggregate "
        "placement_aggregate_required_for_tenants query_placement_for_image_type_support "
        "query_placement_for_routed_network_aggregates enable_isolated_aggregate_filtering "
        "image_metadata_prefilter", "the scheduler reads the cloud's own tables")
_BROKER = "a broker that is away is tried again for ever, and each message waits as long as it may"
for _group in ("oslo_messaging_rabbit", "DEFAULT"):
    _retire(_group, "rabbit_max_retries rabbit_transient_queues_ttl rabbit_qos_prefetch_count", _BROKER)
_retire(
    "oslo_messaging_rabbit",
    "rabbit_login_method fake_rabbit kombu_reconnect_delay kombu_reconnect_splay kombu_compression "
    "kombu_missing_consumer_retry_timeout kombu_failover_strategy kombu_ssl_version amqp_auto_delete "
    "amqp_durable_queues rpc_conn_pool_size heartbeat_rate heartbeat_in_pthread direct_mandatory_flag "
    "enable_cancel_on_failover use_queue_manager hostname processname rabbit_stream_fanout "
    "rabbit_transient_quorum_queue rabbit_quorum_delivery_limit rabbit_quorum_max_memory_length "
    "rabbit_quorum_max_memory_bytes conn_pool_min_size conn_pool_ttl ssl_version ssl_enforce_fips_mode",
    "the transport sets its queues and connections up by itself",
)
_retire("oslo_messaging_notifications", "*", "no notifications are sent")
_retire("notifications", "*", "no notifications are sent")
_retire("oslo_messaging_amqp", "*", "only RabbitMQ is spoken to")
_retire("oslo_messaging_qpid", "*", "only RabbitMQ is spoken to")
_retire("oslo_messaging_kafka", "*", "only RabbitMQ is spoken to")
_retire("oslo_middleware", "*", "bodies of requests are limited to 114688 bytes")
_retire("oslo_reports", "*", "see /healthcheck and /metrics of the [metrics] listener")
_retire("oslo_limit", "*", "limits are those of [quota] and of nova-manage project quota")
_retire("profiler", "*", "no traces are sent")
_retire("cache", "*", "tokens and rows are kept in the process")
_retire("wsgi", "*", "the HTTP server is built in and needs no settings")
_retire("cors", "*", "let the proxy in front of the APIs add these headers")
_retire("service_user", "*", "the service's own login is in [keystone_authtoken]")
_retire("keystone", "*", "the identity service is that of [keystone_authtoken]")
_retire("healthcheck", "*", "/healthcheck is on every address; see [metrics]")
_retire("matchmaker_redis", "*", "only RabbitMQ is spoken to")
_retire("matchmaker_ring", "*", "only RabbitMQ is spoken to")
_retire("metrics", "required", "hosts without a metric get metrics_weight_of_unavailable")
_retire(
    "libvirt",
    "inject_password inject_key inject_partition",
    _INJECTION,
)
_retire(
    "libvirt",
    "image_info_filename_pattern remove_unused_kernels remove_unused_resized_minimum_age_seconds "
    "checksum_base_images checksum_interval_seconds",
    _IMAGE_CACHE,
)
_retire(
    "libvirt",
    "num_iscsi_scan_tries num_iser_scan_tries nfs_mount_point_base nfs_mount_options "
    "smbfs_mount_point_base smbfs_mount_options num_aoe_discover_tries glusterfs_mount_point_base "
    "iscsi_use_multipath iser_use_multipath scality_sofs_config scality_sofs_mount_point "
    "qemu_allowed_storage_drivers quobyte_mount_point_base quobyte_client_cfg iscsi_iface",
    _VOLUMES,
)
_retire(
    "libvirt", "live_migration_flag block_migration_flag",
    "migrations are peer to peer, and copy disks where the request says so",
)
_retire("libvirt", "volume_clear volume_clear_size", "a disk's blocks go back to the file system")
_retire("libvirt", "snapshot_compression snapshot_image_format", "a snapshot has the format of its image")
_retire("libvirt", "use_usb_tablet", "guests have a tablet wherever they have a screen")
_retire("libvirt", "vif_driver", _ONE_CLASS)
_retire("libvirt", "rescue_kernel_id rescue_ramdisk_id", "the rescue image's own kernel and ramdisk are used")
_retire("libvirt", "disk_prefix", "disks are named by their bus")
_retire("libvirt", "xen_hvmloader_path sysinfo_serial uid_maps gid_maps", "libvirt's own default is used")
_retire(
    "libvirt",
    "images_volume_group sparse_logical_volumes images_rbd_pool images_rbd_ceph_conf rbd_user "
    "rbd_secret_uuid",
    "disks are files; put instances_path on the storage that is wanted",
)
_retire("DEFAULT", "vendordata_driver", "vendor data comes from vendordata_jsonfile_path")
_retire(
    "DEFAULT", "osapi_glance_link_prefix",
    "links to images lead to the host that a request came to, at the image service's port",
)
_retire("DEFAULT", "action category", "they were arguments of nova-manage")
_retire("DEFAULT", "allow_migrate_to_same_host", "set allow_resize_to_same_host")
_retire("DEFAULT", "non_inheritable_image_properties", "a snapshot takes over what describes the guest")
_retire("DEFAULT", "max_local_block_devices", "a flavor bounds the local disks")
_retire("DEFAULT", "enable_new_services", "disable services by hand: nova-manage service disable")
_retire("DEFAULT", "instance_name_template", "names of guests are instance-%08x")
_retire("DEFAULT", "snapshot_name_template", _NOT_NEEDED)
_retire("DEFAULT", "osapi_compute_unique_server_name_scope", "names of servers need not be unique")
_retire("DEFAULT", "my_block_storage_ip", _VOLUMES)
_retire("DEFAULT", "fixed_range_v6 gateway gateway_v6", "they are flags of nova-manage network create")
_retire("DEFAULT", "default_access_ip_network_name", "users set accessIPv4 and accessIPv6")
_retire("DEFAULT", "instance_uuid_format", "instance_format is used for all")
_retire("glance", "allowed_direct_url_schemes", "images are read through the image service")
_retire(
    "keystone_authtoken",
    "auth_admin_prefix delay_auth_decision admin_token cache signing_dir memcached_servers "
    "revocation_cache_time memcache_security_strategy memcache_secret_key memcache_use_advanced_pool "
    "memcache_pool_dead_retry memcache_pool_maxsize memcache_pool_socket_timeout "
    "memcache_pool_unused_timeout memcache_pool_conn_get_timeout include_service_catalog "
    "enforce_token_bind check_revocations_for_cached hash_algorithms auth_section service_type",
    "tokens are checked with the identity service and kept in the process for token_cache_time",
)
_retire("neutron", "*", "log in with username, password, project_name and auth_url")
_retire("serial_console", "listen", "consoles listen on proxyclient_address")
_retire("spice", "agent_enabled keymap", "guests have the agent's channel, and SPICE needs no key map")
_retire("vmware", "*", "this release has no driver for VMware")
_retire("cinder", "cross_az_attach", "a volume of any zone can be attached")
_retire("cinder", "*", _NOT_NEEDED)
