# SPDX-License-Identifier: Apache-2.0
"""The built-in identity service: a Keystone-compatible API v3 and v2.0 for clouds without one."""
