# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, not in the test's: the unmodified ``openstack``
command line, one command a line of standard input, without a second's start for each.

Reads a JSON list of arguments, runs it as ``openstack ARGUMENTS`` would, and answers a JSON list of
exit status, standard output and standard error.
"""

import contextlib
import io
import json
import sys

from openstackclient import shell


def main() -> None:
    """Until the input ends."""
    lines, sys.stdin = sys.stdin, io.StringIO()
    for line in lines:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = shell.main(json.loads(line))
            except SystemExit as leaving:
                status = leaving.code
        answer = [status or 0, output.getvalue(), errors.getvalue()]
        sys.__stdout__.write(json.dumps(answer) + "\n")
        sys.__stdout__.flush()


if __name__ == "__main__":
    main()
