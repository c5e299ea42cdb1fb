# SPDX-License-Identifier: Apache-2.0
"""What a guest is told about itself: one tree of files, for the metadata service and the config drive.

Nothing here reads a database or a hypervisor; hosts import it.
"""
