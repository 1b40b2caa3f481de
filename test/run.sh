#!/bin/sh
# Passes the tests on a Debian machine with node and npm: brings the Debian packages and npm modules that they need, then runs lint,
# type check, build, and the unit, integration and end-to-end tests. The last line is "N passed, N failed".
#
#   sudo ./test/run.sh [unit|integration|e2e]…
#
# With NETHOOKS_EXHAUSTIVE=1 a start and a stop are killed at every point instead of a few, and bursts are tried in all sizes: half an hour.
#
# Tests that need root run on throwaway hosts in namespaces. The machine gets packages, /var/cache/nethooks-test and nothing else:
# no service of a freshly installed package starts.
set -eu
umask 022
exec </dev/null
CDPATH='' cd -- "$(dirname -- "$0")/.."
PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # `su` without `-` leaves out sbin
export PATH

for project in "${@:-unit}"; do
  case $project in
    unit | integration | e2e) ;;
    *)
      printf 'test/run.sh: %s: allowed: unit, integration, e2e\n' "$project" >&2
      exit 2
      ;;
  esac
done
[ $# -gt 0 ] || set -- unit integration e2e

passed=0 failed=0
say() {
  printf '\n== %s\n' "$*"
}
check() { # WHAT COMMAND…: a failure counts, and the rest goes on
  say "$1"
  shift
  "$@" || failed=$((failed + 1))
}

# ---- Debian packages, as COMMAND:PACKAGE. dhcpcd-base is dhcpcd without a service that would start at the next boot.

needed='ip:iproute2 nft:nftables iptables:iptables dnsmasq:dnsmasq-base sysctl:procps setpriv:util-linux
  lxc-start:lxc busybox:busybox-static ping:iputils-ping dhclient:isc-dhcp-client dhcpcd:dhcpcd-base
  conntrack:conntrack rsync:rsync tcpdump:tcpdump /usr/lib/cni/host-local:containernetworking-plugins podman:podman
  runc:runc conmon:conmon newuidmap:uidmap mmdebstrap:mmdebstrap strace:strace
  shellcheck:shellcheck node:nodejs npm:npm'

install_packages() {
  packages=''
  for pair in $needed; do command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"; done
  [ -n "$packages" ] || return 0
  echo "installs$packages"
  start_no_services
  code=0
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends $packages >/dev/null || code=$?
  forget_policy
  return "$code"
}

# invoke-rc.d(8) and deb-systemd-invoke ask this program whether a service may start. A policy that is there already is set aside,
# and put back also by the next run if this one is killed.
policy=/usr/sbin/policy-rc.d
aside=$policy.before-nethooks-tests
start_no_services() {
  if [ -e "$policy" ] && [ ! -e "$aside" ] && ! is_ours; then mv "$policy" "$aside"; fi
  printf '#!/bin/sh\n# Made by the tests of nethooks while they install packages.\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}
is_ours() {
  grep -q '^# Made by the tests of nethooks' "$policy" 2>/dev/null
}
forget_policy() {
  if is_ours; then rm -f "$policy"; fi
  if [ -e "$aside" ]; then mv "$aside" "$policy"; fi
}

# ---- Building and testing

modules() { # npm writes this file last: older or missing, the modules are not those of package-lock.json
  [ -n "$(find node_modules/.package-lock.json -newer package-lock.json -print 2>/dev/null)" ] || npm ci --no-progress
}

shell_scripts() {
  find hooks test/lab -type f ! -name '*.ts' -exec shellcheck -x install.sh test/run.sh .ci/run {} +
}

suite() { # PROJECT
  say "$1 tests"
  code=0
  # These certificates are read at every start of node (40 ms), which never needs them here.
  env -u NODE_EXTRA_CA_CERTS node node_modules/vitest/vitest.mjs run --project "$1" \
    --reporter=default --reporter=json --outputFile.json="$reports/$1.json" || code=$?
  # A file that does not load, an error outside of tests and, in CI, a skipped test are failures too; but not a test that this
  # machine cannot run whatever is installed (describeLabUnless).
  set -- "$(node -e '
    const [report, code, ci] = process.argv.slice(1);
    let passed = 0, failed = 0;
    try {
      const all = JSON.parse(require("fs").readFileSync(report, "utf8"));
      const tests = all.testResults.flatMap((file) => file.assertionResults);
      const skipped = tests.filter(({ status }) => status !== "passed" && status !== "failed");
      const left = skipped.filter(({ ancestorTitles: [first = ""] }) => !first.startsWith("not here: "));
      passed = all.numPassedTests;
      failed = all.numFailedTests + (ci ? left.length : 0);
      for (const reason of new Set(skipped.filter((test) => !left.includes(test)).map(({ ancestorTitles }) => ancestorTitles[0])))
        console.error(reason);
    } catch {}
    console.log(passed, failed || (passed === 0 || code !== "0" ? 1 : 0));
  ' "$reports/$1.json" "$code" "${CI-}")"
  passed=$((passed + ${1% *})) failed=$((failed + ${1#* }))
}

summary() {
  # What root wrote into somebody's checkout is theirs.
  if [ "$(id -u)" = 0 ]; then
    for made in node_modules dist; do [ ! -d "$made" ] || chown -R --reference=. "$made"; done
  fi
  printf '\n%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

clean() {
  rm -rf "$reports"
  forget_policy
}
trap clean EXIT
trap 'exit 130' INT TERM HUP
reports=$(mktemp -d)
if [ "$(id -u)" = 0 ]; then check 'Debian packages' install_packages; else say 'Not root: tests that need throwaway hosts are skipped (sudo ./test/run.sh)'; fi
check 'npm modules' modules
check 'lint' node_modules/.bin/biome check .
check 'shellcheck' shell_scripts
check 'types' node_modules/.bin/tsc --noEmit
check 'build' node build.mjs
for project in "$@"; do suite "$project"; done
summary
