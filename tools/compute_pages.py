# SPDX-License-Identifier: Apache-2.0
"""The pages of the compute API: routes, microversions, policy rules, the state table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from route_rules import rules_of

from nova.api.compute.policies import BASE
from nova.api.compute.routes import ROUTES, RULES
from nova.api.compute.routing import Route, gone
from nova.api.compute.server_action_table import ServerAction
from nova.api.compute.server_actions import ACTIONS as SERVER_ACTIONS
from nova.api.compute.versions import MAXIMUM, MICROVERSIONS, MINIMUM
from nova.api.network.tables import RULES as NETWORK_RULES
from nova.compute.lifecycle import ACTIONS, STATUS, Action
from nova.conductor.steps import FLOWS
from nova.policy import Rule
from nova.volume.api.policies import RULES as VOLUME_RULES

_RULE_NAMES = {rule.name for rule in RULES}
_PREFIX = "os_compute_api:"


def _made_from(source: str) -> str:
    return f"<!-- Made by tools/generate_docs.py from {source}. Do not edit. -->"


# --- routes -----------------------------------------------------------------------------------------


def compute_page() -> Iterator[str]:
    """docs/api/compute.md."""
    yield _made_from("the route tables of nova/api/compute")
    yield "# The compute API, route by route\n"
    yield (
        "Paths come after `/v2.1` or `/v2.1/{project_id}` (from 2.18 on the project may be left out by the "
        "standard; here it may always), and after `/v2/{project_id}`. *Versions* are microversions of "
        "`/v2.1`; a route that starts at 2.1 is also on `/v2`, unless it says otherwise. Several rows of one "
        "method and path take over from each other. *Policy rules* lack their prefix `os_compute_api:`; "
        "[the table of rules](../operators/policy.md) says who passes by default. *410* marks what the "
        "standard has removed.\n"
    )
    resources: dict[str, list[Route]] = {}
    for route in ROUTES:
        resources.setdefault(route.path.split("/")[1], []).append(route)
    for name, routes in sorted(resources.items()):
        yield f"## {name}\n"
        yield "| method | path | versions | status | policy rules |"
        yield "| --- | --- | --- | --- | --- |"
        for route in sorted(routes, key=lambda each: (each.path, each.method, each.since)):
            yield (
                f"| {route.method} | `{route.path}` | {_versions(route)} | {_success(route)} "
                f"| {_rules(route)} |"
            )
        yield ""
    yield "## Server actions\n"
    yield "`POST /servers/{server_id}/action`; the body is an object with one of these keys.\n"
    yield "| key | versions | status | policy rules |"
    yield "| --- | --- | --- | --- |"
    for key in sorted(SERVER_ACTIONS, key=str.lower):
        for action in SERVER_ACTIONS[key]:
            yield (
                f"| `{key}` | {_window(action.since, action.until)} | {action.success} "
                f"| {_action_rules(action)} |"
            )


def _versions(route: Route) -> str:
    if route.legacy_only:
        return "`/v2` only"
    window = _window(route.since, route.until)
    return f"{window}, not on `/v2`" if route.modern_only and route.since <= 1 else window


def _window(since: int, until: int | None) -> str:
    if until is None:
        return "all" if since <= MINIMUM else f"from 2.{since}"
    return f"to 2.{until}" if since <= MINIMUM else f"2.{since} to 2.{until}"


def _success(route: Route) -> str:
    return "410" if route.handler is gone else str(route.success)


def _rules(route: Route) -> str:
    if route.handler is gone:
        return ""
    if route.path == "/servers/{server_id}/action":
        return "see [server actions](#server-actions)"
    if route.path.endswith("/action") and route.rule is None and not rules_of(route.handler):
        return "by the action in the body"
    return _named([*([route.rule] if route.rule else []), *rules_of(route.handler)])


def _action_rules(action: ServerAction) -> str:
    return _named([action.rule, *rules_of(action.handler)])


def _named(rules: Collection[str]) -> str:
    known = [rule for rule in dict.fromkeys(rules) if rule in _RULE_NAMES]
    return ", ".join(f"`{rule.removeprefix(_PREFIX)}`" for rule in known)


# --- microversions ----------------------------------------------------------------------------------


def microversions_page() -> Iterator[str]:
    """docs/api/microversions.md."""
    yield _made_from("nova/api/compute/versions.py and the route tables")
    yield "# Microversions\n"
    yield (
        f"`/v2.1` speaks 2.{MINIMUM} to 2.{MAXIMUM}. A request names its version in the header "
        "`OpenStack-API-Version: compute 2.N` (or `X-OpenStack-Nova-API-Version: 2.N`), or `latest`; without "
        f"one it gets 2.{MINIMUM}. The answer's headers name the version used. A malformed version is 400, "
        "one out of range 406.\n"
    )
    yield "*Switches* are the names by which the code asks for a changed behaviour.\n"
    yield "| version | change | routes | switches |"
    yield "| --- | --- | --- | --- |"
    for row in MICROVERSIONS:
        switches = ", ".join(f"`{name}`" for name in row.features)
        yield f"| 2.{row.minor} | {row.summary} | {_routes_changed(row.minor)} | {switches} |"


def _routes_changed(minor: int) -> str:
    if minor == MINIMUM:
        return ""
    parts = [
        *(f"+ {_spelt(each)}" for each in ROUTES if each.since == minor and not _was_there(each)),
        *(f"− {_spelt(each)}" for each in ROUTES  # noqa: RUF001
          if each.until == minor - 1 and not _goes_on(each)),
    ]
    for key, rows in SERVER_ACTIONS.items():
        if min(row.since for row in rows) == minor:
            parts.append(f"+ action `{key}`")
        if all(row.until is not None for row in rows) and max(
            row.until or 0 for row in rows
        ) == minor - 1:
            parts.append(f"− action `{key}`")  # noqa: RUF001
    return "<br>".join(parts)


def _spelt(route: Route) -> str:
    return f"{route.method} `{route.path}`"


def _was_there(route: Route) -> bool:
    return any(
        (each.method, each.path) == (route.method, route.path) and each.serves(route.since - 1, False)
        for each in ROUTES
    )


def _goes_on(route: Route) -> bool:
    return any(
        (each.method, each.path) == (route.method, route.path)
        and each.serves((route.until or 0) + 1, False)
        for each in ROUTES
    )


# --- policy -----------------------------------------------------------------------------------------

_POLICY = """\
# Policy

Who may do what in the compute and network APIs. The rules have their standard names; oslo.policy reads them.
To change some, write `policy.yaml` (option `[oslo_policy] policy_file`) into the state directory:

    # servers may only be deleted by administrators
    "os_compute_api:servers:delete": "role:admin"

Rules that the file does not name keep their defaults. Start the cloud again after a change: until then some
decisions are the old ones. Things of other projects answer 404 before any rule is asked; a rule that refuses
answers 403 and names itself."""


def policy_page() -> Iterator[str]:
    """docs/operators/policy.md."""
    yield _made_from("the RULES of nova/api/compute, nova/api/network and nova/volume/api")
    yield _POLICY
    yield "\n## Who the defaults mean\n"
    yield "| rule | check | meaning |"
    yield "| --- | --- | --- |"
    for rule in BASE:
        yield f"| `{rule.name}` | `{rule.check}` | {rule.description} |"
    yield "\n## Rules\n"
    yield "`@` is everybody with a token.\n"
    base = {rule.name for rule in BASE}
    yield from _rule_table(rule for rule in RULES if rule.name not in base)
    yield "\n## Rules of the network API\n"
    yield from _rule_table(NETWORK_RULES)
    yield ""
    yield "## Rules of the block storage API"
    yield ""
    yield "They have Cinder's names, which say what they are for."
    yield ""
    yield "| default | rules |"
    yield "| --- | --- |"
    for check in dict.fromkeys(rule.check for rule in VOLUME_RULES):
        names = sorted(rule.name for rule in VOLUME_RULES if rule.check == check)
        yield f"| `{check}` | {', '.join(f'`{name}`' for name in names)} |"


def _rule_table(rules: Iterable[Rule]) -> Iterator[str]:
    yield "| rule | default | for |"
    yield "| --- | --- | --- |"
    for rule in sorted(rules, key=lambda each: each.name):
        yield f"| `{rule.name}` | `{rule.check.removeprefix('rule:')}` | {rule.description} |"


# --- state table ------------------------------------------------------------------------------------

_LIFECYCLE = """\
# The life of a server

A server has a *vm state* (what it is) and at times a *task state* (what is being done with it). One table,
`nova/compute/lifecycle.py`, says for every action in which states it is allowed, which task states it goes
through, and what it leads to. The API answers 409 with the state in the way for all else; the change
is one conditional update, so of two requests at the same moment one gets the 409."""


def lifecycle_page() -> Iterator[str]:
    """docs/api/lifecycle.md."""
    yield _made_from("nova/compute/lifecycle.py and nova/conductor/steps.py")
    yield _LIFECYCLE
    yield "\n## Diagram\n"
    yield "Successful actions that change the vm state; `any` stands for every state.\n"
    yield from _diagram()
    yield "\n## Actions\n"
    yield (
        "*none* means that no task may be under way. Where *success* is empty the vm state stays. *Failure* "
        "is the vm state after a failure that cannot be undone; where it is empty, and where what was done "
        "could be undone, the server is what it was. Locked servers refuse the actions marked L, unless "
        "an administrator asks. *Steps* are those an action may take, on the conductor, on the server's "
        "host, or on another host of a move; not every run takes them all, and some follow a failure only. "
        "With `shelved_offload_time = 0`, the default, `shelve` goes on to shelved_offloaded.\n"
    )
    yield "| action | allowed in | while task | task states | success | failure | | steps |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for action in ACTIONS.values():
        yield _action_row(action)
    yield "\n## Status\n"
    yield "What the API shows as `status`, and as `OS-EXT-STS:vm_state` and `OS-EXT-STS:task_state`.\n"
    yield "| vm state | task state | status |"
    yield "| --- | --- | --- |"
    for vm_state, row in STATUS.items():
        for task_state, status in row.items():
            shown = "any other" if task_state == "*" and len(row) > 1 else task_state
            yield f"| {vm_state} | {'any' if shown == '*' else shown} | {status} |"


def _action_row(action: Action) -> str:
    tasks = "any" if action.task_states is None else ", ".join(
        sorted("none" if each is None else each for each in action.task_states)
    )
    passed = " → ".join([each for each in (action.running, *action.passes) if each])
    steps = " → ".join(
        f"{step.name} ({step.where})" for step in FLOWS.get(action.name, ())
    )
    return (
        f"| `{action.name}` | {_states(action)} | {tasks} | {passed} | {action.success or ''} "
        f"| {action.failure or ''} | {'L' if action.lockable else ''} | {steps or 'at once'} |"
    )


def _states(action: Action) -> str:
    return "any" if action.vm_states is None else ", ".join(sorted(action.vm_states))


def _diagram() -> Iterator[str]:
    edges: dict[tuple[str, str], list[str]] = {}
    for action in ACTIONS.values():
        if action.success is None:
            continue
        for state in sorted(action.vm_states or ("any",)):
            if state != action.success:
                edges.setdefault((state, action.success), []).append(action.name)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> building"
    for (before, after), names in edges.items():
        yield f"    {_node(before)} --> {_node(after)}: {', '.join(names)}"
    yield "    deleted --> [*]"
    yield "```"


def _node(state: str) -> str:
    return state.replace("-", "_")
