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
    # Only tokens of RDP consoles could be asked for in v2; the drivers that had them are gone.
    **_refused(
        400, "GET", "/os-console-auth-tokens/1",
        "os-console-auth-tokens/get-console-connect-info-get-resp",
    ),
    # The request is understood, and what it names is not there.
    **{
        name: Case(None, method, path, server_cases.with_volumes, request=name, status=404, by=by)
        for name, method, path, by in (
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
