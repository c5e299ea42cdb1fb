# SPDX-License-Identifier: Apache-2.0
"""Hypervisor drivers. They know guests and hosts, nothing of the database or the API."""
