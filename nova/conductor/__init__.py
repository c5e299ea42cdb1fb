# SPDX-License-Identifier: Apache-2.0
"""The hosts' window to the database, and the work that spans hosts.

An accepted request is a row of ``operations``. ``steps`` lists the steps of every flow and where each runs;
``dispatch`` enters a step under a lease and wakes whoever does it; ``placing`` chooses hosts and claims them;
``completion`` and ``failing`` say what follows when a step is done or failed; ``ending`` settles what an
operation has taken when something overtakes it; ``deleting`` is what overtakes everything; ``recovery`` finds
what was interrupted; ``upkeep`` does what is due by time.
"""
