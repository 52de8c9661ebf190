#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What udhcpc does with an answer: takes the address, the route and the name server.
case "$1" in
bound | renew)
    ip addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for address in $router; do
        ip route add default via "$address" dev "$interface"
        break
    done
    : >/etc/resolv.conf
    for address in $dns; do
        echo "nameserver $address" >>/etc/resolv.conf
    done
    ;;
esac
