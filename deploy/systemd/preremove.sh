#!/bin/sh
# Before the package is removed, but not before it is replaced by another version: the gateway ends.
set -eu
if [ "${1:-}" = remove ] && [ -d /run/systemd/system ]; then
	systemctl disable --now gbtpool.service
fi
