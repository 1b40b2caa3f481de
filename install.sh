#!/bin/sh
# Installs nethooks on a Debian host and brings its networks up, or takes all of that back. POSIX sh.
#
# This brings Debian packages, builds what is to be installed and finds out what runs here; `nethooks setup` and `nethooks
# teardown` do the rest. A run that ends half-way, at whatever point, is completed by the next one, or taken back by --uninstall.
set -eu
umask 022

usage() {
  cat <<'END'
Usage: ./install.sh [--dry-run] [--no-apt] [--runtime bun|node] [--prefix DIR] [--destdir DIR] [--rkt] [--cni]
       ./install.sh --demo [--dry-run] [--no-apt] [--runtime bun|node]
       ./install.sh --uninstall [--purge] [--dry-run]

  --dry-run        say what would be done, do nothing
  --no-apt         install no Debian packages; say which ones are missing
  --runtime NAME   bun: one executable that needs nothing else (default on x86-64); node: a script for node >= 18.19
  --prefix DIR     where programs go (default /usr); configuration and the hooks of other programs are in /etc all the same
  --destdir DIR    only put the files below DIR, as for a package: nothing is configured or started
  --rkt, --cni     put the CNI plugin and networks for it where rkt, or other CNI runtimes, look for them; without these,
                   where such directories are there already
  --demo           show the main job on a throwaway host in network namespaces; changes nothing on this one
  --uninstall      take back everything that this script and `nethooks up` made, and give LXC's containers back; what a reinstall goes
                   on from is kept: an edited configuration, containers' options and addresses
  --purge          with --uninstall: remove these all the same
END
}

say() {
  printf '%s\n' "$*"
}
die() { # MESSAGE [EXIT-STATUS]
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}
usage_error() {
  die "$1; see ./install.sh --help" 2
}

action=install dry_run=false apt=true purge=false rkt=false cni=false runtime='' prefix='' destdir=''
while [ $# -gt 0 ]; do
  case $1 in
    --runtime=* | --prefix=* | --destdir=*) # the same as two words
      name=${1%%=*} value=${1#*=}
      shift
      set -- "$name" "$value" "$@"
      ;;
  esac
  case $1 in --runtime | --prefix | --destdir) [ -n "${2-}" ] || usage_error "$1 needs a value" ;; esac
  case $1 in
    --dry-run) dry_run=true ;;
    --no-apt) apt=false ;;
    --purge) purge=true ;;
    --rkt) rkt=true ;;
    --cni) cni=true ;;
    --demo | --uninstall)
      [ "$action" = install ] || usage_error '--demo and --uninstall exclude each other'
      action=${1#--}
      ;;
    --runtime) runtime=$2 && shift ;;
    --prefix) prefix=$2 && shift ;;
    --destdir) destdir=$2 && shift ;;
    --help | -h) usage && exit 0 ;;
    *) usage_error "$1: unknown option" ;;
  esac
  shift
done

case $runtime in '' | bun | node) ;; *) usage_error "--runtime $runtime: allowed: bun, node" ;; esac
if $purge && [ "$action" != uninstall ]; then usage_error '--purge goes with --uninstall'; fi
if [ "$action" != install ] && { $rkt || $cni; }; then usage_error "--$action takes neither --rkt nor --cni"; fi
if [ "$action" != install ] && [ -n "$prefix$destdir" ]; then usage_error "--$action takes neither --prefix nor --destdir"; fi
if [ "$action" = uninstall ] && [ -n "$runtime" ]; then usage_error '--uninstall takes no --runtime'; fi
# The prefix is written into hooks, units and LXC configurations, each with quoting rules of its own.
case ${prefix:=/usr} in /*) ;; *) usage_error "--prefix $prefix: not an absolute path" ;; esac
case $prefix/ in *[!A-Za-z0-9/._+-]* | */../*) usage_error "--prefix $prefix: allowed: letters, digits and / . _ + -" ;; esac
prefix=${prefix%/}
case $destdir in '' | /*) ;; *) destdir=$PWD/$destdir ;; esac
destdir=${destdir%/}

manifest=/var/lib/nethooks/install/manifest # src/model/manifest.ts has its format
unset BUN_OPTIONS BUN_BE_BUN BUN_INSPECT NODE_OPTIONS BASH_ENV ENV
PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # `su` without `-` leaves out sbin
export PATH
CDPATH='' cd -- "$(dirname -- "$0")"
[ -f build.mjs ] || die "$PWD is no checkout of nethooks"

changed=false
act() { # WHAT COMMAND…: says what is done and does it; with --dry-run only says it
  changed=true
  if $dry_run; then
    say "would $1"
    return
  fi
  say "$1"
  shift
  "$@"
}
have() {
  command -v "$1" >/dev/null 2>&1
}
lock() { # one at a time; on a directory that is there anyway, to leave nothing behind. Setup and teardown take the same lock.
  if $dry_run; then return; fi
  [ "$(id -u)" = 0 ] || die 'needs root'
  exec 9</var/lib
  flock -w 3 9 || die 'another install.sh is at work'
}
unlock() {
  exec 9<&-
}

# ---- Debian packages: COMMAND:PACKAGE, where the command tells whether the package is there

needed='ip:iproute2 nft:nftables iptables:iptables dnsmasq:dnsmasq-base sysctl:procps flock:util-linux nsenter:util-linux'
for_containers='lxc-start:lxc busybox:busybox-static'
useful='ping:iputils-ping conntrack:conntrack' # for the commands named at the end; to end connections to what is not published any more

missing_of() { # PAIR…: the packages whose command is missing, each once
  packages=''
  for pair in "$@"; do
    if have "${pair%%:*}"; then continue; fi
    case " $packages " in *" ${pair#*:} "*) ;; *) packages="$packages ${pair#*:}" ;; esac
  done
  say "${packages# }"
}

require() { # WHAT-FOR PAIR…: installs what is missing, or with --no-apt says so and ends
  what_for=$1
  shift
  missing=$(missing_of "$@")
  [ -n "$missing" ] || return 0
  have apt-get || die "$what_for needs programs that are missing; on Debian they are in: $missing"
  $apt || die "$what_for needs Debian packages that are not installed: apt-get install $missing"
  # shellcheck disable=SC2086 # a list of words
  act "install Debian packages for $what_for: $missing" apt_install $missing
}
apt_install() { # PACKAGE…
  if [ "$action" = install ] && [ -z "$destdir" ]; then note_packages "$@"; fi
  dpkg --configure -a </dev/null 9<&- # an earlier run may have been interrupted here
  apt-cache show "$@" >/dev/null 2>&1 || apt_get update
  apt_get install --no-install-recommends "$@" || { # the lists may be so old that the mirror has newer packages only
    apt_get update
    apt_get install --no-install-recommends "$@"
  }
}
note_packages() { # PACKAGE…: beforehand, as apt may be interrupted; --uninstall names them
  mkdir -p "${manifest%/*}"
  for package in "$@"; do
    grep -qsxF "package $package" "$manifest" || printf '%s\n' "package $package" >>"$manifest"
  done
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null 9<&-
}

# ---- Building

product() { # bun|node
  case $1 in bun) say dist/nethooks ;; node) say dist/nethooks.cjs ;; esac
}
is_built() { # bun|node: there, and no older than its sources; without build tools it is a release, taken as it is
  [ -f "$(product "$1")" ] || return 1
  [ -d node_modules ] || return 0
  [ -z "$(find src templates build.mjs package.json -newer "$(product "$1")" -print)" ]
}
build() { # bun|node
  if is_built "$1"; then return; fi
  require "building $(product "$1")" node:nodejs npm:npm
  $dry_run || node_is_new_enough
  # npm writes this file last: without it an earlier run was interrupted.
  [ -n "$(find node_modules/.package-lock.json -newer package-lock.json -print 2>/dev/null)" ] ||
    act 'fetch the build tools: npm ci' as_owner npm ci --no-progress
  act "build $(product "$1")" as_owner node build.mjs "$1"
}
as_owner() { # COMMAND…: npm runs code of many packages, so not as root in somebody's checkout
  owner=$(stat -c %U .)
  home=$(getent passwd "$owner" | cut -d: -f6)
  if [ "$(id -u)" != 0 ] || [ "$owner" = root ] || [ -z "$home" ]; then
    "$@" </dev/null 9<&-
  else
    runuser -u "$owner" -- env HOME="$home" "$@" </dev/null 9<&-
  fi
}

# Sets $runtime to one that runs here, and has it built.
choose_runtime() {
  case $runtime:$(uname -m) in
    bun:* | node:*) ;;
    :x86_64)
      runtime=bun
      build bun
      if ! $dry_run && ! built --version >/dev/null 2>&1; then
        say 'the compiled executable does not run here: taking the script for node'
        runtime=node
      fi
      ;;
    *) runtime=node ;;
  esac
  build "$runtime"
  if [ "$runtime" = bun ]; then return; fi
  require 'the script for node' node:nodejs
  $dry_run || node_is_new_enough
}
node_is_new_enough() {
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 18 || (a === 18 && b > 18) ? 0 : 1)' ||
    die "node $(node --version) is too old: 18.19 or newer is needed"
}
built() { # ARGUMENT…: runs what was built
  case $runtime in bun) dist/nethooks "$@" 9<&- ;; node) node dist/nethooks.cjs "$@" 9<&- ;; esac
}

# ---- Installing

install() {
  # shellcheck disable=SC2086 # lists of words
  if [ -z "$destdir" ]; then
    lock
    require nethooks $needed
    if $apt; then require 'containers' $for_containers $useful; fi
  fi
  choose_runtime
  if ! is_built "$runtime"; then # only with --dry-run
    say 'would put its files in place and bring the networks up: once it is built, --dry-run says which'
    return
  fi
  set -- --from "$PWD" --prefix "${prefix:-/}"
  [ -z "$destdir" ] || set -- "$@" --destdir "$destdir"
  if $rkt; then set -- "$@" --rkt; fi
  if $cni; then set -- "$@" --cni; fi
  if $changed; then set -- "$@" --after-changes; fi
  if $dry_run; then set -- "$@" --dry-run; fi
  unlock
  status=0
  built setup "$@" || status=$?
  [ "$status" != 3 ] || die 'it is installed, but the networks are not up; once that is mended: nethooks up'
  exit "$status"
}

demo() {
  # shellcheck disable=SC2086 # lists of words
  require 'the demo' $needed $for_containers
  choose_runtime
  if $dry_run; then say 'would run the demo: nethooks demo'; else built demo; fi
}

# ---- Taking it back: by what is installed, or by what is here where that is gone already, or from before `nethooks teardown`

uninstall() {
  lock
  set --
  if $purge; then set -- "$@" --purge; fi
  if $dry_run; then set -- "$@" --dry-run; fi
  installed=$(sed -n 's/^prefix //p' "$manifest" 2>/dev/null || true)/lib/nethooks/nethooks
  if [ -f "$manifest" ] && [ -e "$installed" ]; then
    "$installed" --version >/dev/null 2>&1 9<&- || die "$installed does not run, and only it can take the networks down: ./install.sh repairs it"
    if "$installed" teardown --dry-run --json >/dev/null 2>&1 9<&-; then
      unlock
      exec "$installed" teardown "$@"
    fi
  fi
  if [ ! -f "$manifest" ]; then
    if ! $dry_run; then # where an earlier run may have ended
      rm -f "$manifest.new"
      rmdir "${manifest%/*}" /var/lib/nethooks 2>/dev/null || true
    fi
    say "nothing to take back: there is no $manifest"
    return
  fi
  choose_runtime
  unlock
  built teardown "$@"
}

"$action"
