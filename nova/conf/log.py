# SPDX-License-Identifier: Apache-2.0
"""What is logged, how it reads and where it goes; in [DEFAULT], under the names of oslo.log."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class LogSection:
    """Options of the log."""

    debug: bool = option(False, "Log at DEBUG.")
    verbose: bool = option(False, "Log a line for every request and every step of an operation.")
    log_dir: str | None = option(
        None, "Directory of the log file; without log_file it is named after the command.",
        old=("DEFAULT.logdir",),
    )
    log_file: str | None = option(
        None, "File to log to. It is opened anew when something has moved it away.",
        old=("DEFAULT.logfile",),
    )
    use_stderr: bool = option(False, "Log to standard error as well where there is a log file.")
    use_json: bool = option(False, "Log one JSON object a line.")
    use_syslog: bool = option(False, "Log to /dev/log as well.")
    syslog_log_facility: str = option(
        "LOG_USER", "Syslog facility, such as LOG_LOCAL0 or local0.",
    )
    log_date_format: str = option("%Y-%m-%d %H:%M:%S", "Format of %(asctime)s, as strftime has it.")
    logging_context_format_string: str = option(
        "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [%(request_id)s %(user_identity)s] "
        "%(instance)s%(message)s",
        "Format of lines that belong to a request. Beside the names of Python's logging it may use "
        "request_id, user_identity, user, project, instance and resource.",
    )
    logging_default_format_string: str = option(
        "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [-] %(instance)s%(message)s",
        "Format of other lines.",
    )
    logging_debug_format_suffix: str = option(
        "%(funcName)s %(pathname)s:%(lineno)d", "What lines at DEBUG end with."
    )
    logging_exception_prefix: str = option(
        "%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s [%(request_id)s] %(instance)s",
        "What every line of a trace begins with.",
    )
    logging_user_identity_format: str = option(
        "%(user)s %(project)s", "Format of %(user_identity)s.",
    )
    instance_format: str = option("[instance: %(uuid)s] ", "Format of %(instance)s.")
    default_log_levels: tuple[str, ...] = option(
        (
            "sqlalchemy=WARN", "alembic=WARN", "keystonemiddleware=ERROR", "keystoneauth=WARN",
            "urllib3=WARN", "requests=WARN", "stevedore=WARN", "oslo.messaging=INFO",
            "oslo_messaging=INFO", "amqp=WARN", "oslo_policy=WARN",
        ),
        "Levels of single loggers, as NAME=LEVEL.",
    )
    log_config_append: str | None = option(
        None, "File with a configuration of Python's logging that is used in place of these options.",
        old=("DEFAULT.log_config",),
    )
