# SPDX-License-Identifier: Apache-2.0
"""``os-instance_usage_audit_log``: periods, and hosts that did not run an audit."""

from __future__ import annotations

import datetime

import pytest

from nova.compute.audit_periods import last_completed_period
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import BadRequest
from nova.objects.usage import UsageAudit
from tests.unit.api.conftest import Api, sample
from tests.unit.db.service_rows import reported

ROOT = "/os-instance_usage_audit_log"


@pytest.mark.parametrize("unit, begin, end", [
    ("hour", "2024-03-01T11:00", "2024-03-01T12:00"),
    ("day", "2024-02-29T00:00", "2024-03-01T00:00"),
    ("month", "2024-02-01T00:00", "2024-03-01T00:00"),
    ("year", "2023-01-01T00:00", "2024-01-01T00:00"),
    ("hour@30", "2024-03-01T11:30", "2024-03-01T12:30"),
    ("hour@45", "2024-03-01T10:45", "2024-03-01T11:45"),
    ("day@6", "2024-02-29T06:00", "2024-03-01T06:00"),
    ("day@18", "2024-02-28T18:00", "2024-02-29T18:00"),
    ("month@15", "2024-01-15T00:00", "2024-02-15T00:00"),
    ("month@31", "2024-01-31T00:00", "2024-02-29T00:00"),
    ("year@7", "2022-07-01T00:00", "2023-07-01T00:00"),
])
def test_the_last_completed_period(unit: str, begin: str, end: str) -> None:
    moment = datetime.datetime(2024, 3, 1, 12, 34, 56)
    found = last_completed_period(unit, moment)
    assert [each.isoformat(timespec="minutes") for each in found] == [begin, end]


@pytest.mark.parametrize("text", ["week", "month@32", "hour@x", "", "day@-1"])
def test_no_period(text: str) -> None:
    with pytest.raises(BadRequest):
        last_completed_period(text, datetime.datetime(2024, 3, 1))


def test_hosts_that_ran_it_are_shown(api: Api, db: Database) -> None:
    begin, end = last_completed_period("month", now())
    audit = UsageAudit("host1", "DONE", 3, 1, "ran")
    with db.write() as tx:
        for host in ("host1", "host2"):
            reported(tx, "nova-compute", host, "compute", now())
        assert tx.usage_audits.add(begin, end, [audit])
    listed = api.get(ROOT).json["instance_usage_audit_logs"]
    assert listed["hosts_not_run"] == ["host2"]
    assert listed["log"] == {
        "host1": {"state": "DONE", "instances": 3, "errors": 1, "message": "ran"}
    }
    assert (listed["total_instances"], listed["total_errors"]) == (3, 1)
    assert listed["overall_status"] == "1 of 2 hosts done. 1 errors."
    shown = api.get(f"{ROOT}/2012-07-05%2010:00:00").json["instance_usage_audit_log"]
    assert shown["num_hosts_not_run"] == 2


def test_every_compute_host_did_not_run_it(api: Api, db: Database) -> None:
    with db.write() as tx:
        reported(tx, "nova-compute", "host1", "compute", now())
        reported(tx, "nova-scheduler", "host2", "scheduler", now())
    listed = api.get(ROOT).json["instance_usage_audit_logs"]
    assert listed["hosts_not_run"] == ["host1"]
    assert listed["overall_status"] == "0 of 1 hosts done. 0 errors."
    shown = api.get(f"{ROOT}/2012-07-05%2010:00:00").json["instance_usage_audit_log"]
    assert shown["period_beginning"] == "2012-06-01 00:00:00"
    assert shown["period_ending"] == "2012-07-01 00:00:00"
    wanted = sample("v2.1/os-instance-usage-audit-log/inst-usage-audit-log-show-get-resp.json")
    assert set(shown) == set(wanted["instance_usage_audit_log"])


@pytest.mark.parametrize("text", ["yesterday", "2012-07-05", "0001-01-01%2000:00:00"])
def test_bad_times(api: Api, text: str) -> None:
    assert api.get(f"{ROOT}/{text}").status_code == 400


def test_administrators_only(api: Api) -> None:
    assert api.get(ROOT, token="member").status_code == 403
