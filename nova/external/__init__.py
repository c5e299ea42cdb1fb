# SPDX-License-Identifier: Apache-2.0
"""A Keystone and a Glance that the operator runs, in place of the built-in ones; extra ``external``."""
