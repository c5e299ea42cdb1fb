# SPDX-License-Identifier: Apache-2.0
"""The compute API, v2 and v2.1: one module per resource, one request schema and one view each.

The flow of a request: ``app`` names it, ``negotiation`` finds the version and the project,
``nova.http.auth`` the caller; ``routing`` picks the route of that version from the literal table of a
resource module, lifts the body to the newest form (``bodies``) and calls the handler; ``fields`` lowers
the answer to the version asked for. No handler compares version numbers.
"""
