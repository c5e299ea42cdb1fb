# SPDX-License-Identifier: Apache-2.0
"""The public API samples, each with the state of a cloud that it supposes."""
