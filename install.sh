#!/bin/sh
# Installs nethooks on a Debian host and brings its networks up, or takes all of that back. POSIX sh.
#
# Everything that is made or replaced is first noted in /var/lib/nethooks/install/manifest, and what was there is copied beside
# it. So a run that ends half-way, at whatever point, is completed by the next one, or taken back by --uninstall.
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
  --uninstall      take back everything that this script and `nethooks up` made; an edited configuration is kept
  --purge          with --uninstall: remove the configuration all the same
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
    --runtime)
      runtime=$2
      shift
      ;;
    --prefix)
      prefix=$2
      shift
      ;;
    --destdir)
      destdir=$2
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
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

lib=$prefix/lib/nethooks
state=/var/lib/nethooks/install
manifest=$state/manifest
config=/etc/nethooks/nethooks.ini
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
systemd_runs() { # sd_booted(3)
  [ -d /run/systemd/system ]
}
lock() { # one at a time; on a directory that is there anyway, to leave nothing behind. What a killed run started may still end.
  if $dry_run; then return; fi
  [ "$(id -u)" = 0 ] || die 'needs root'
  exec 9</var/lib
  flock -w 3 9 || die 'another install.sh is at work'
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
  dpkg --configure -a </dev/null 9<&- # an earlier run may have been interrupted here
  apt-cache show "$@" >/dev/null 2>&1 || apt_get update
  apt_get install --no-install-recommends "$@" || { # the lists may be so old that the mirror has newer packages only
    apt_get update
    apt_get install --no-install-recommends "$@"
  }
  if [ "$action" != install ] || [ -n "$destdir" ]; then return; fi
  for package in "$@"; do note_once "package $package"; done
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

# ---- The manifest: a line per thing, in the order in which they were made
#   prefix DIR, dir PATH, made PATH, replaced PATH (what was there is in backup/PATH), config SHA256 PATH (`-` until it is
#   written), unit NAME, package NAME

noted() { # LINE
  [ -f "$manifest" ] && grep -qxF -e "$1" "$manifest"
}
note() { # LINE
  if [ ! -f "$manifest" ]; then
    mkdir -p "$state"
    printf '%s\n' "prefix $prefix" >>"$manifest"
  fi
  printf '%s\n' "$1" >>"$manifest" # one write(2): a line is there whole or not at all
}
note_once() { # LINE
  noted "$1" || note "$1"
}
noted_prefix() {
  if [ -f "$manifest" ]; then sed -n 's/^prefix //p' "$manifest"; fi
}
# Notes that a path is ours from now on and keeps what was there, in an order in which nothing is lost whenever it ends.
take_over() { # PATH
  if [ -n "$destdir" ] || noted "made $1" || noted "replaced $1"; then return; fi
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    note "made $1"
    return
  fi
  mkdir -p "$(dirname "$state/backup$1")"
  rm -rf "$state/backup$1.new"
  cp -a "$1" "$state/backup$1.new"
  mv -fT "$state/backup$1.new" "$state/backup$1"
  note "replaced $1"
}

# ---- Putting files. Filters turn a file of ours into what is installed.

as_is() {
  cat "$1"
}
with_prefix() { # hooks and units name the usual place
  sed "s|/usr/lib/nethooks|$lib|g" "$1"
}
with_node() { # hooks inherit anybody's PATH
  sed "1s|.*|#!$(command -v node)|" "$1"
}

put() { # MODE PATH FILTER FILE: other programs see the old file or the new one, never a part
  target=$destdir$2
  if [ -f "$4" ] && [ "$(stat -c '%a %F' "$target" 2>/dev/null)" = "$1 regular file" ] && "$3" "$4" | cmp -s - "$target"; then
    ours_already "$2"
    return
  fi
  [ ! -d "$target" ] || [ -L "$target" ] || die "$target is a directory, but a file belongs there"
  make_dir "$(dirname "$2")"
  act "write $target" write_file "$@"
}
write_file() {
  take_over "$2"
  rm -f "$target.new" # what a killed run started may still write to that
  "$3" "$4" >"$target.new"
  chmod "$1" "$target.new"
  mv -fT "$target.new" "$target"
}
ours_already() { # PATH that is as it should be, if only from a run that could not note it
  if $dry_run || [ -n "$destdir" ] || noted "replaced $1"; then return; fi
  note_once "made $1"
}
made=''
make_dir() { # PATH, its parents first
  case $made in *" $1 "*) return ;; esac
  if [ -d "$destdir$1" ]; then return; fi
  if [ "$1" != / ]; then make_dir "$(dirname "$1")"; fi
  made="$made $1 "
  act "make $destdir${1%/}/" make_one "$1"
}
make_one() {
  if [ -n "$destdir" ]; then
    mkdir -p "$destdir$1"
    return
  fi
  note "dir $1"
  mkdir "$1"
}

put_everything() {
  case $runtime in
    bun) put 755 "$lib/nethooks" as_is dist/nethooks ;;
    node) put 755 "$lib/nethooks" with_node dist/nethooks.cjs ;;
  esac
  put 755 "$prefix/sbin/nethooks" with_prefix hooks/nethooks
  put 644 "$lib/lxc/guard" with_prefix hooks/lxc/guard
  for event in start-host post-stop destroy clone; do put 755 "$lib/lxc/$event" with_prefix "hooks/lxc/$event"; done
  units=/etc/systemd/system
  case $prefix in /usr | /usr/local) units=$prefix/lib/systemd/system ;; esac # systemd.unit(5), "Unit File Load Path"
  for unit in nethooks.service nethooks-rules.service nethooks-dnsmasq@.service; do put 644 "$units/$unit" with_prefix "templates/$unit"; done
  for page in docs/*.[58]; do
    if [ -f "$page" ]; then put 644 "$prefix/share/man/man${page##*.}/${page##*/}" with_prefix "$page"; fi
  done
  if $cni || [ -d "$destdir/usr/lib/cni" ]; then put_plugins /usr/lib/cni; fi
  if $rkt || [ -d "$destdir/etc/rkt" ]; then put_plugins /usr/lib/rkt/plugins/net; fi
  make_dir /var/log/nethooks
  # What runs by itself comes after what it runs.
  put 644 /etc/dhcp/dhclient-enter-hooks.d/nethooks with_prefix hooks/dhclient-enter-hook
  put 755 /etc/network/if-post-down.d/nethooks with_prefix hooks/if-post-down.d
  put 755 /etc/network/if-up.d/nethooks with_prefix hooks/if-up.d
}

# A runtime takes a configuration's type for the name of a file.
put_plugins() { # DIRECTORY
  for name in nethooks nethooks-bridge nethooks-ptp nethooks-macvlan nethooks-ipvlan nethooks-dns; do
    put 755 "$1/$name" with_prefix hooks/cni
  done
}

# Networks that are there already stay as they are, also ours, which may have been edited.
put_networks() { # rkt|cni, true to make the directory
  directory=/etc/$1/net.d
  if ! $2 && [ ! -d "$directory" ]; then return; fi
  if $dry_run; then
    say "would write networks into $directory/, where they are missing"
    return
  fi
  rm -rf "$state/net.d"
  "$lib/nethooks" net.d write "--$1" --dir "$state/net.d" >/dev/null 9<&-
  for file in "$state/net.d"/*; do
    if [ -f "$file" ] && [ ! -e "$directory/${file##*/}" ]; then put 644 "$directory/${file##*/}" as_is "$file"; fi
  done
  rm -rf "$state/net.d"
}

# ---- The first configuration

configured() {
  for extension in ini json yaml; do
    if [ -e "/etc/nethooks/nethooks.$extension" ]; then return; fi
  done
  return 1
}
configure() {
  if configured && ! noted "config - $config"; then
    $dry_run || built config check >/dev/null || die 'nothing was changed: please mend the configuration first' 2
    return
  fi
  make_dir /etc/nethooks
  act "write $config with a free subnet" first_config
}
first_config() { # noted twice: before, that it is ours, and after, what it was, to tell later whether it was edited
  note "config - $config"
  output=$(built config init)
  in_brief "$output"
  note_config "$(sha256sum "$config" | cut -d' ' -f1)"
}
note_config() { # SHA256
  sed '/^config /d' "$manifest" >"$manifest.new"
  printf '%s\n' "config $1 $config" >>"$manifest.new"
  mv -f "$manifest.new" "$manifest"
}

# ---- Installing

install() {
  # shellcheck disable=SC2086 # lists of words
  if [ -z "$destdir" ]; then
    lock
    case $(noted_prefix) in '' | "$prefix") ;; *) die "it is installed with --prefix $(noted_prefix): take that back first, ./install.sh --uninstall" 2 ;; esac
    require nethooks $needed
    if $apt; then require 'containers' $for_containers $useful; fi
  fi
  choose_runtime
  if [ -n "$destdir" ]; then
    put_everything
    return
  fi
  configure
  put_everything
  put_networks rkt "$rkt"
  put_networks cni "$cni"
  if systemd_runs; then enable_at_boot; fi
  bring_up
  conclude
}

enable_at_boot() {
  if ! $dry_run && [ "$(systemctl show --property NeedDaemonReload --value nethooks.service)" = yes ]; then systemctl daemon-reload; fi
  if noted 'unit nethooks.service' && systemctl --quiet is-enabled nethooks.service; then return; fi
  act 'enable nethooks.service' enable_unit
}
enable_unit() {
  note_once 'unit nethooks.service'
  systemctl daemon-reload
  systemctl --quiet enable nethooks.service
}

bring_up() {
  if $dry_run; then
    say 'would bring the networks up: nethooks up'
    return
  fi
  # Not through systemd at first: what it has to say belongs in this terminal.
  if ! output=$("$lib/nethooks" up 9<&-); then die 'it is installed, but the networks are not up; once that is mended: nethooks up'; fi
  if [ "$output" != 'nothing to change' ]; then
    changed=true
    say 'bring the networks up: nethooks up'
    in_brief "$output"
  fi
  if systemd_runs; then systemctl start nethooks.service; fi
}

in_brief() { # OUTPUT of up or down: the steps, without the lines of each file and rule
  say "$1" | sed -n 's/^[^ ]/  &/p'
}

conclude() {
  if $dry_run; then
    $changed || say 'nothing would change'
    return
  fi
  $changed || say 'nothing changed'
  say ''
  "$lib/nethooks" status 9<&- | grep '^[^ ]' || true
  systemd_runs || say 'systemd does not run here: after a boot, if-up.d brings the networks up with the first interface.'
  as_root=''
  [ -z "${SUDO_USER-}" ] || as_root='sudo '
  say ''
  say 'Next:'
  # shellcheck disable=SC2086 # a list of words
  missing=$(missing_of $for_containers)
  if [ -n "$missing" ]; then
    say "  ${as_root}apt-get install $missing"
    say "  ${as_root}nethooks up"
    say "  ${as_root}nethooks status"
  else
    domain=$("$lib/nethooks" config show 9<&- | sed -n 's/^domain = //p' | head -n 1)
    say "  ${as_root}lxc-create -n test -t busybox"
    say "  ${as_root}lxc-start test"
    say "  ping -c 3 test.$domain"
  fi
}

demo() {
  # shellcheck disable=SC2086 # lists of words
  require 'the demo' $needed $for_containers
  choose_runtime
  if $dry_run; then say 'would run the demo: nethooks demo'; else built demo; fi
}

# ---- Taking it back, the newest first

uninstall() {
  lock
  if [ ! -f "$manifest" ]; then
    if ! $dry_run; then rmdir "$state" /var/lib/nethooks 2>/dev/null || true; fi # where an earlier --uninstall may have ended
    say "nothing to take back: there is no $manifest"
    return
  fi
  prefix=$(noted_prefix)
  lib=$prefix/lib/nethooks
  networks=$(network_names)
  name_users
  take_down
  tac "$manifest" | while read -r kind what; do take_back "$kind" "$what"; done
  if $purge && [ -d /etc/nethooks ]; then act 'remove /etc/nethooks/' rm -rf /etc/nethooks; fi
  if systemd_runs && noted 'unit nethooks.service'; then act 'have systemd forget the units' forget_units; fi
  packages=$(sed -n 's/^package //p' "$manifest" | tr '\n' ' ')
  act 'remove /run/nethooks/, /var/log/nethooks/ and /var/lib/nethooks/' remove_state
  [ -z "$packages" ] || say "Debian packages that install.sh brought stay: apt-get purge ${packages% }"
}

network_names() { # from the configuration in whatever format
  if [ -x "$lib/nethooks" ]; then "$lib/nethooks" config show 2>/dev/null 9<&- | sed -n 's/^\[network\.\(.*\)\]$/\1/p'; fi
}

# Says which LXC containers still want what is being removed: they would not start without it.
name_users() {
  for file in /var/lib/lxc/*/config; do
    [ -f "$file" ] || continue
    container=${file%/config}
    container=${container##*/}
    if grep -q "^[^#]*$lib/lxc/" "$file"; then say "warning: container $container calls our hooks and will not start: remove its lxc.hook.* lines from $file"; fi
    for network in $networks; do
      if grep -q "^lxc\.net.*\.link *= *$network *$" "$file"; then say "warning: container $container is on bridge $network, which goes: $file"; fi
    done
  done
}

take_down() {
  if systemd_runs && systemctl --quiet is-enabled nethooks.service 2>/dev/null; then
    act 'stop and disable nethooks.service' systemctl --quiet disable --now nethooks.service
  fi
  if [ ! -e "$lib/nethooks" ]; then return; fi # an earlier --uninstall came past this
  act 'take the networks down: nethooks down --files' down
}
down() {
  "$lib/nethooks" --version >/dev/null 2>&1 9<&- || die "$lib/nethooks does not run, and only it can take the networks down: ./install.sh repairs it"
  output=$("$lib/nethooks" down --files 9<&-) || die 'the networks are not down, so everything else stays too'
  in_brief "$output"
}

take_back() { # a line of the manifest
  case $1 in
    made) if [ -e "$2" ] || [ -L "$2" ] || [ -e "$2.new" ]; then act "remove $2" rm -f "$2" "$2.new"; fi ;;
    replaced) act "put back $2" put_back "$2" ;;
    dir) if [ -d "$2" ] && [ -z "$(ls -A "$2")" ]; then act "remove $2/" rmdir "$2"; fi ;;
    config) take_back_config "${2%% *}" "${2#* }" ;;
  esac
}
put_back() {
  cp -a "$state/backup$1" "$1.new"
  mv -fT "$1.new" "$1"
}
take_back_config() { # SHA256 PATH
  if [ ! -f "$2" ]; then return; fi
  if $purge || [ "$1" = - ] || [ "$(sha256sum "$2" | cut -d' ' -f1)" = "$1" ]; then
    act "remove $2" rm -f "$2"
  else
    say "keep $2: it was edited (--purge removes it)"
  fi
}
forget_units() {
  systemctl daemon-reload
  systemctl reset-failed 'nethooks*' 2>/dev/null || true
}

# The manifest last: while it is there, another run goes on from here.
remove_state() {
  rm -rf /run/nethooks /var/log/nethooks
  for network in $networks; do forget_addresses "/var/lib/cni/networks/$network"; done
  find /var/lib/nethooks -mindepth 1 -maxdepth 1 ! -name install -exec rm -rf {} +
  find "$state" -mindepth 1 -maxdepth 1 ! -name manifest -exec rm -rf {} +
  rm -f "$manifest"
  rmdir "$state" /var/lib/nethooks
}
forget_addresses() { # a network's address store, unless containers, maybe of other programs, hold addresses in it
  if [ ! -d "$1" ]; then return; fi
  if [ -n "$(find "$1" -mindepth 1 ! -name lock ! -name 'last_reserved_ip.*' -print)" ]; then
    say "keep $1: containers have addresses in it"
    return
  fi
  rm -rf "$1"
  rmdir -p --ignore-fail-on-non-empty /var/lib/cni/networks
}

"$action"
