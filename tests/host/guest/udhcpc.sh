#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the guest does with a lease.
case "$1" in
 deconfig) ip addr flush dev $interface; ip link set $interface up;;
 bound) ip addr add $ip/${mask:-24} dev $interface
  for r in $router; do ip route replace default via $r dev $interface; done
  echo "MARK lease $ip router=$router name=$hostname" >/dev/console;;
esac
