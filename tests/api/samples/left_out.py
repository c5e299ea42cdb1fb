# SPDX-License-Identifier: Apache-2.0
"""The samples whose answer is not compared, each with its reason, and those that are refused."""

from __future__ import annotations

from tests.api.samples import host_cases, server_cases
from tests.api.samples.stage import Case

_CELLS = "needs a cell that is down; this cloud is one database"

LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        (
            "servers/server-get-down-cell-resp", "servers/server-get-resp@2.69",
            "servers/servers-details-resp@2.69", "servers/servers-list-resp@2.69",
            "os-services/services-list-get-resp@2.69",
        ),
        _CELLS,
    ),
    "os-virtual-interfaces/vifs-list-resp-v2": "is an answer of v2, with a key that v2.1 never had",
}

_GONE = 410
_VOLUME = "a26887c6-c47b-4654-abb5-dfadf7d3f803"


def _shares(*cases: tuple[str, str, str]) -> dict[str, Case]:
    """Shares, where there is no service of shared file systems: none is found."""
    share = {"share": {"share_id": _VOLUME}}
    return {
        f"os-server-shares/server-shares-{name}": Case(
            None, method, f"/servers/{{server}}/shares{path}", server_cases.stopped, status=404,
            body=share if method == "POST" else None,
        )
        for name, method, path in cases
    }


def _gone(*names: str, method: str = "GET", path: str) -> dict[str, Case]:
    return {name: Case(name, method, path, status=_GONE) for name in names}


#: What is asked for where the sample's API was removed, and the status that refuses it.
REFUSED: dict[str, Case] = {
    **_gone("os-agents/agents-get-resp", path="/os-agents"),
    **_gone("os-agents/agent-post-req", "os-agents/agent-post-resp", method="POST",
            path="/os-agents"),
    **_gone("os-agents/agent-update-put-req", "os-agents/agent-update-put-resp", method="PUT",
            path="/os-agents/1"),
    **_gone("os-cells/cells-list-resp", path="/os-cells"),
    **_gone("os-cells/cells-get-resp", path="/os-cells/cell3"),
    **_gone("os-cells/cells-capacities-resp", path="/os-cells/capacities"),
    **_gone("os-certificates/certificate-create-resp", method="POST", path="/os-certificates"),
    **_gone("os-certificates/certificate-get-root-resp", path="/os-certificates/root"),
    **_gone("os-cloudpipe/cloud-pipe-get-resp", path="/os-cloudpipe"),
    **_gone("os-cloudpipe/cloud-pipe-create-req", "os-cloudpipe/cloud-pipe-create-resp",
            method="POST", path="/os-cloudpipe"),
    **_gone("os-cloudpipe/cloud-pipe-update-req", method="PUT",
            path="/os-cloudpipe/configure-project"),
    **_gone("os-fping/fping-get-details-resp", path="/os-fping"),
    **_gone("os-fping/fping-get-resp", path="/os-fping/1"),
    **_gone("consoles/consoles-list-get-resp", path="/servers/1/consoles"),
    **_gone("consoles/consoles-get-resp", path="/servers/1/consoles/1"),
    "os-admin-actions/admin-actions-reset-network": Case(
        None, "POST", "/servers/{server}/action", server_cases.running,
        body={"resetNetwork": None}, status=_GONE,
    ),
    # Without a bare-metal service, and with no driver for host power, as in the original.
    "os-baremetal-nodes/baremetal-node-list-resp": Case(
        None, "GET", "/os-baremetal-nodes", status=501
    ),
    "os-baremetal-nodes/baremetal-node-get-resp": Case(
        None, "GET", "/os-baremetal-nodes/1", status=501
    ),
    **{
        f"os-hosts/host-{name}": Case(
            None, method, f"/os-hosts/{{host}}{path}", host_cases.host, body=body, status=501
        )
        for name, method, path, body in (
            ("get-reboot", "GET", "/reboot", None), ("get-shutdown", "GET", "/shutdown", None),
            ("get-startup", "GET", "/startup", None),
            ("put-maintenance-req", "PUT", "",
             {"status": "enable", "maintenance_mode": "disable"}),
            ("put-maintenance-resp", "PUT", "",
             {"status": "enable", "maintenance_mode": "disable"}),
        )
    },
    **_shares(
        ("admin-create-resp", "POST", ""), ("create-resp", "POST", ""),
        ("admin-show-resp", "GET", f"/{_VOLUME}"), ("show-resp", "GET", f"/{_VOLUME}"),
        ("delete-req", "DELETE", f"/{_VOLUME}"),
        # A list without anything in it has no structure to compare.
        ("list-resp", "GET", f"/{_VOLUME}"),
    ),
    # Requests that their own version refuses: a zone or a hint that is the mark of a template which
    # nobody filled in, a personality (gone with 2.57) and no networks, a key pair without its key
    # (2.92). Their answers are compared, after a request that is mended.
    **{
        f"servers/server-create-req@2.{minor}": Case(
            None, "POST", "/servers", server_cases.networked, status=400, by="member",
            request="servers/server-create-req",
        )
        for minor in (47, 63, 66, 90, 94)
    },
    "os-keypairs/keypairs-post-req@2.92": Case(
        None, "POST", "/os-keypairs", status=400, request="os-keypairs/keypairs-post-req",
    ),
    # The request is understood, and what it names is not there.
    **{
        name: Case(None, method, path, setup, request=name, status=404, by=by)
        for name, method, path, setup, by in (
            ("os-server-shares/server-shares-create-req", "POST", "/servers/{server}/shares",
             server_cases.stopped, "member"),
            ("os-server-shares/server-shares-create-tag-req", "POST", "/servers/{server}/shares",
             server_cases.stopped, "member"),
            ("os-attach-interfaces/attach-interfaces-create-req", "POST",
             "/servers/{server}/os-interface", server_cases.running, "member"),
        )
    },
    # The original's last RDP driver went in 2.99's release; the request is refused since.
    **{
        f"os-remote-consoles/get-rdp-console-post-{part}": Case(
            None, "POST", "/servers/{server}/action", server_cases.running,
            body={"os-getRDPConsole": {"type": "rdp-html5"}}, status=400,
        )
        for part in ("req", "resp")
    },
    "os-remote-consoles/create-rdp-console-req": Case(
        None, "POST", "/servers/{server}/remote-consoles", server_cases.running,
        body={"remote_console": {"protocol": "rdp", "type": "rdp-html5"}}, status=400,
    ),
}
