#!/bin/sh
# ifupdown runs this per interface and family, as /etc/network/if-up.d/nethooks and /etc/network/if-post-down.d/nethooks: one file,
# two names. A failure would end `ifup --exit-on-error`, so there is none.
[ -x /usr/lib/nethooks/nethooks ] || exit 0
# ifupdown-ng has no ADDRFAM: it calls once for all families.
case ${IFACE-}:${ADDRFAM=inet} in lo:* | :*) exit 0 ;; *:inet | *:meta) ;; *) exit 0 ;; esac
case $0 in *if-post-down*) event=if-post-down ;; *) event=if-up ;; esac
# Nothing of ours is up. It stays so when an interface goes, as at shutdown, and also when one comes where systemd runs: there the
# networks are nethooks.service's to start at boot, and whoever stopped it meant it.
if [ ! -e /run/nethooks/record.json ] && { [ "$event" = if-post-down ] || [ -d /run/systemd/system ]; }; then exit 0; fi
# Each of these would run somebody's code, open a debugger or slow the start down.
unset BUN_OPTIONS BUN_BE_BUN BUN_INSPECT NODE_OPTIONS NODE_V8_COVERAGE NODE_EXTRA_CA_CERTS BASH_ENV ENV
# What runs for milliseconds is interpreted before it is compiled.
export BUN_JSC_useJIT=0
PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH ADDRFAM
cd /
timeout -k 1 5 /usr/lib/nethooks/nethooks hook "$event" </dev/null >/dev/null
case $? in 124 | 137) # it was ended, or had to be killed: timeout(1)
  # A name with more in it than a name has could write lines of its own.
  case $IFACE in *[!A-Za-z0-9_.:-]*) IFACE='?' ;; esac
  line="$event $IFACE: ended, as it took more than 5 s"
  printf 'nethooks: %s\n' "$line" >&2
  printf '%s %s\n' "$(date -u +%FT%TZ)" "$line" 2>/dev/null >>/var/log/nethooks/hooks.log
  ;;
esac
exit 0
