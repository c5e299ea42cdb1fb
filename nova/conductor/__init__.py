# SPDX-License-Identifier: Apache-2.0
"""The hosts' window to the database, and the work that spans hosts.

An accepted request is a row of ``operations``. ``steps`` lists the steps of every flow and where each runs;
``dispatch`` enters a step under a lease and wakes whoever does it; ``placing`` chooses hosts and claims them;
``completion`` says what follows when a step is done or failed; ``recovery`` finds what was interrupted.
"""
