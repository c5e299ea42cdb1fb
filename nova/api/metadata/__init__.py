# SPDX-License-Identifier: Apache-2.0
"""The metadata service: what guests are told about themselves, over HTTP.

    request -> callers (who asks?) -> guests (remembered trees) -> conductor -> one statement
                                        |
                                        tree.lookup(path)

It runs on every host, without a database.
"""
