# SPDX-License-Identifier: Apache-2.0
"""Weighers: which of the hosts that may take a server is best."""
