# SPDX-License-Identifier: Apache-2.0
"""The network API that current clients speak (Networking API v2.0), as a view of the network room.

    request -> routing.Endpoint -> resource table (networks, subnets, ports …) -> nova.network, stores

A resource is a table (``resource.Resource``): its attributes, how it is listed, found, created, changed and
removed. The endpoint does what all have in common: rights, bodies, bulk, filters, sorting, paging, fields,
revision numbers, tags.
"""
