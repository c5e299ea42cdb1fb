# SPDX-License-Identifier: Apache-2.0
"""Default policy of the network API: Neutron's rule names, derived from the resource tables."""

from __future__ import annotations

from collections.abc import Iterable

from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.network.resource import Resource
from nova.policy import Rule


def rules_of(resources: Iterable[Resource]) -> tuple[Rule, ...]:
    """The rules of resources: readers list and show, members change, and what is marked in the
    attributes is the administrators'.
    """
    rules = []
    for resource in resources:
        name = resource.singular
        shown = name.replace("_", " ")
        rules.append(Rule(f"get_{name}", READER_OR_ADMIN, f"Show a {shown}."))
        offered = {
            "create": resource.create, "update": resource.update, "delete": resource.delete,
        }
        verbs = [verb for verb, function in offered.items() if function is not None]
        for verb in verbs:
            rules.append(Rule(f"{verb}_{name}", MEMBER_OR_ADMIN, f"{verb.capitalize()} a {shown}."))
        for attribute in resource.attributes.values():
            if attribute.rule:
                rules += [
                    Rule(f"{verb}_{name}:{attribute.name}", ADMIN, f"Set {attribute.name}.")
                    for verb, allowed in (("create", attribute.post), ("update", attribute.put))
                    if allowed
                ]
    return tuple(rules)
