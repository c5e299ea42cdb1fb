# SPDX-License-Identifier: Apache-2.0
"""A host's network on Linux: bridges, DHCP, filters. Nothing here reads the database."""
