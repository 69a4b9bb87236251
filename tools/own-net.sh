#!/bin/sh
# Runs a command in a network namespace of its own, in which the kernel's table of TCP connections has so many buckets. That takes
# root, iproute2 and Linux 6.1 or newer; the machine's own settings are afterwards as they were.
# Usage: tools/own-net.sh <buckets> <command>...
set -eu

fail() {
    echo "own-net: $*" >&2
    exit 2
}

[ $# -ge 2 ] || fail "usage: tools/own-net.sh <buckets> <command>..."
buckets=$1
shift
setting=/proc/sys/net/ipv4/tcp_child_ehash_entries # of the namespaces that are made from now on
[ -e $setting ] || fail "this kernel has no net.ipv4.tcp_child_ehash_entries: it takes Linux 6.1"
[ -w $setting ] || fail "net.ipv4.tcp_child_ehash_entries can't be set: run it as root"
command -v ip >/dev/null || fail "there is no ip: install iproute2"

trap 'exit 130' HUP INT TERM # by way of the other traps
name=hubbub-$$
before=$(cat $setting)
trap 'echo "$before" >$setting' EXIT
echo "$buckets" 2>/dev/null >$setting || fail "$buckets is no number of buckets"
ip netns add "$name"
echo "$before" >$setting
trap 'ip netns delete "$name"' EXIT
got=$(ip netns exec "$name" cat /proc/sys/net/ipv4/tcp_ehash_entries)
# The kernel takes the next power of two; what is negative are the machine's own buckets, which it fell back to.
[ "$got" -ge "$buckets" ] || fail "the kernel made no table of $buckets buckets but $got"
ip -n "$name" link set lo up
ip netns exec "$name" "$@"
