# SPDX-License-Identifier: Apache-2.0
"""The HTTP resources of the identity API."""
