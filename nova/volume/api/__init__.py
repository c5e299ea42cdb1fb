# SPDX-License-Identifier: Apache-2.0
"""The HTTP face of the block storage service: Block Storage API v3."""
