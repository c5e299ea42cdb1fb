# SPDX-License-Identifier: Apache-2.0
"""The samples of v2 whose answer is not compared, each with its reason, and those refused."""

from __future__ import annotations

from tests.api.samples import server_cases
from tests.api.samples.stage import Case

LEFT_OUT: dict[str, str] = {
    "os-attach-interfaces/attach-interfaces-create-resp":
        "names a port that a network service made",
    "os-evacuate/server-evacuate-req":
        "has a password and shared storage, which the original refuses together",
}


def _refused(status: int, method: str, path: str, *names: str) -> dict[str, Case]:
    return {name: Case(None, method, path, status=status) for name in names}


#: What is asked for where no release since serves the sample's API, and the status that refuses it.
REFUSED: dict[str, Case] = {
    **_refused(410, "GET", "/os-cloudpipe", "os-cloudpipe/cloud-pipe-get-resp"),
    **_refused(
        410, "POST", "/os-cloudpipe", "os-cloudpipe/cloud-pipe-create-req",
        "os-cloudpipe/cloud-pipe-create-resp",
    ),
    **_refused(
        410, "PUT", "/os-cloudpipe/configure-project", "os-cloudpipe-update/cloud-pipe-update-req"
    ),
    **_refused(410, "GET", "/os-fping", "os-fping/fping-get-details-resp"),
    **_refused(410, "GET", "/os-fping/1", "os-fping/fping-get-resp"),
    **_refused(
        501, "GET", "/os-baremetal-nodes", "os-baremetal-ext-status/baremetal-node-list-resp"
    ),
    **_refused(
        501, "GET", "/os-baremetal-nodes/1", "os-baremetal-ext-status/baremetal-node-show-resp"
    ),
    **_refused(
        400, "POST", "/os-baremetal-nodes",
        "os-baremetal-ext-status/baremetal-node-create-req",
        "os-baremetal-ext-status/baremetal-node-create-resp",
        "os-baremetal-ext-status/baremetal-node-create-with-address-req",
        "os-baremetal-ext-status/baremetal-node-create-with-address-resp",
    ),
    **_refused(
        400, "POST", "/os-baremetal-nodes/1/action",
        "os-baremetal-ext-status/baremetal-node-add-interface-req",
        "os-baremetal-ext-status/baremetal-node-add-interface-resp",
        "os-baremetal-ext-status/baremetal-node-remove-interface-req",
    ),
    # The proxies to a volume service, where there is none.
    **_refused(501, "GET", "/os-volumes/detail", "os-volumes/os-volumes-detail-resp"),
    **_refused(501, "GET", "/os-volumes/1", "os-volumes/os-volumes-get-resp"),
    **_refused(501, "GET", "/os-volumes", "os-volumes/os-volumes-index-resp"),
    **_refused(501, "GET", "/os-snapshots/detail", "os-volumes/snapshots-detail-resp"),
    **_refused(501, "GET", "/os-snapshots", "os-volumes/snapshots-list-resp"),
    **_refused(501, "GET", "/os-snapshots/1", "os-volumes/snapshots-show-resp"),
    **{
        f"os-volumes/{name}": Case(
            None, "POST", path, status=501, request=f"os-volumes/{request}", by="member"
        )
        for name, path, request in (
            ("os-volumes-post-req", "/os-volumes", "os-volumes-post-req"),
            ("os-volumes-post-resp", "/os-volumes", "os-volumes-post-req"),
            ("snapshot-create-req", "/os-snapshots", "snapshot-create-req"),
            ("snapshot-create-resp", "/os-snapshots", "snapshot-create-req"),
        )
    },
    # No server has the volume.
    **{
        f"os-assisted-volume-snapshots/snapshot-create-assisted-{part}": Case(
            None, "POST", "/os-assisted-volume-snapshots", status=400, by="service",
            request="os-assisted-volume-snapshots/snapshot-create-assisted-req",
        )
        for part in ("req", "resp")
    },
    "os-volumes/attach-volume-to-server-resp": Case(
        None, "POST", "/servers/{server}/os-volume_attachments", server_cases.with_volumes,
        request="os-volumes/attach-volume-to-server-req", status=404, by="member",
    ),
    # Only tokens of RDP consoles could be asked for in v2; the drivers that had them are gone.
    **_refused(
        400, "GET", "/os-console-auth-tokens/1",
        "os-console-auth-tokens/get-console-connect-info-get-resp",
    ),
    # The request is understood, and what it names is not there.
    **{
        name: Case(None, method, path, server_cases.with_volumes, request=name, status=404, by=by)
        for name, method, path, by in (
            ("os-volumes/attach-volume-to-server-req", "POST",
             "/servers/{server}/os-volume_attachments", "member"),
            ("os-volume-attachment-update/update-volume-req", "PUT",
             "/servers/{server}/os-volume_attachments/a07f71dc-8151-4e7d-a0cc-cd24a3f11113",
             "service"),
            ("os-attach-interfaces/attach-interfaces-create-req", "POST",
             "/servers/{server}/os-interface", "member"),
        )
    },
    **{
        name: Case(
            None, "POST", "/servers/{server}/action", server_cases.running,
            body={"os-getRDPConsole": {"type": "rdp-html5"}}, status=400,
        )
        for name in (
            "os-consoles/get-rdp-console-post-req", "os-consoles/get-rdp-console-post-resp",
            "os-console-auth-tokens/get-rdp-console-post-req",
        )
    },
}
