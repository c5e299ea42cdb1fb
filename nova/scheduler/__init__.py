# SPDX-License-Identifier: Apache-2.0
"""The scheduler: which hosts may take a server, and which of them is best."""
