# SPDX-License-Identifier: Apache-2.0
"""The faces of the cloud: compute, and later EC2, metadata and network."""
