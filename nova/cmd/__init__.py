# SPDX-License-Identifier: Apache-2.0
"""The commands: each module parses its configuration and starts one thing."""
