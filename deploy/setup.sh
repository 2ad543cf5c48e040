#!/bin/sh
# Makes what docker-compose.yml reads: secrets in deploy/secrets, and .env with the chain. It changes nothing that is there.
#
#   deploy/setup.sh [regtest|signet|mainnet]
set -eu
umask 077
cd "$(dirname "$0")/.."
chain=${1:-regtest}
case $chain in
regtest | signet | mainnet) ;;
*)
	echo "setup.sh: $chain is none of regtest, signet, mainnet" >&2
	exit 2
	;;
esac

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
# The folder keeps others on this host out. The files are readable for the containers, which are other users.
keep() { # file; its text is standard input
	[ -e "deploy/secrets/$1" ] && return
	cat >"deploy/secrets/.$1"
	chmod 444 "deploy/secrets/.$1"
	mv "deploy/secrets/.$1" "deploy/secrets/$1"
	echo "made deploy/secrets/$1"
}
mkdir -p deploy/secrets
chmod 700 deploy/secrets
random | keep work_key
random | keep redis_password
random | keep grafana_password
# Redis knows the password's SHA-256 alone.
printf 'user default on #%s ~* &* +@all\n' "$(tr -d '\n' <deploy/secrets/redis_password | sha256sum | cut -d ' ' -f 1)" | keep redis_acl

if [ ! -e .env ]; then
	printf '# Read by docker compose. regtest, signet or mainnet.\nCOMPOSE_PROFILES=%s\n' "$chain" >.env
	if [ "$chain" != regtest ]; then
		printf '# The address that found blocks pay.\nGBTPOOL_PAYOUT_ADDRESS=\n' >>.env
	fi
	echo "made .env for $chain"
elif ! grep -qx "COMPOSE_PROFILES=$chain" .env; then
	echo "setup.sh: .env is for another chain than $chain and was left as it is" >&2
	exit 1
fi
