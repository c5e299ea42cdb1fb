# SPDX-License-Identifier: Apache-2.0
"""The network room: managers, address allocation, virtual and floating IPs, security groups."""
