#!/bin/sh
# After the package is installed: the user is made, and nothing is started before it is configured.
set -eu
systemd-sysusers gbtpool.conf
chown root:gbtpool /etc/gbtpool /etc/gbtpool/gbtpool.yaml
chmod 750 /etc/gbtpool
chmod 640 /etc/gbtpool/gbtpool.yaml
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# An update: the new version takes over. Long polls are turned away and come back.
	systemctl try-restart gbtpool.service
fi
