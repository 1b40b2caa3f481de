#!/bin/sh
# Many containers at the same moment, for tests and benchmarks on a throwaway host; needs lifecycle.sh.
#   kind        LXC or CNI
#   size        how many: c1, c2 …
#   ports       true: each publishes one, 10001 and on
#   CNI_CONFIG  the plugin's configuration
: "${kind:?}" "${size:?}" "${ports:?}" "${CNI_CONFIG:?}"

names() { seq -f 'c%g' "$size"; }
prepare() {
  names | sed 's/.*/netns add &/' | ip -batch -
  [ "$kind" = LXC ] || return 0
  for name in $(names); do
    [ -d "/srv/roots/$name" ] || create "$name"
    echo "link add v$name type veth peer name eth0 netns $name"
    echo "link set v$name master br0 up"
  done | ip -batch -
  for name in $(names); do run_init "$name"; done
}
vanish() {
  [ "$kind" = LXC ] || return 0
  for name in $(names); do
    read -r pid <"/srv/$name.pid"
    kill -KILL "$pid"
    echo "link delete v$name"
  done | ip -batch -
  for name in $(names); do
    read -r pid <"/srv/$name.pid"
    while [ -e "/proc/$pid" ]; do sleep 0.002; done
  done
}
clear() { names | sed 's/.*/netns delete &/' | ip -batch -; }

start_one() { # NAME
  number=${1#c}
  if [ "$kind" = LXC ]; then
    if [ "$ports" = true ]; then set -- "$1" --publish "$((10000 + number)):80"; fi
    hook start-host "$@"
  else
    # What it prints is the result, or the error.
    result=$(cni ADD "$1" "$(config "$number")") || {
      echo "$result"
      return 1
    }
  fi
}
stop_one() { # NAME
  if [ "$kind" = LXC ]; then hook post-stop "$1"; else cni DEL "$1" "$(config "${1#c}")"; fi
}
# CNI_CONFIG with a host port of the container's own in the place of 10000.
config() { # NUMBER
  case $CNI_CONFIG in
    *10000*) printf %s "${CNI_CONFIG%%10000*}$((10000 + $1))${CNI_CONFIG#*10000}" ;;
    *) printf %s "$CNI_CONFIG" ;;
  esac
}

# Runs a function for every name, each in a process of its own; all wait at one gate, which opens when the last one stands there. A fifo
# ends for all its readers when its last writer closes it.
at_once() { # FUNCTION
  rm -rf /srv/burst
  mkdir /srv/burst /srv/burst/ready
  mkfifo /srv/burst/gate
  exec 8<>/srv/burst/gate
  for name in $(names); do
    (
      exec 7</srv/burst/gate 8>&-
      : >"/srv/burst/ready/$name"
      read -r _ <&7 || :
      exec 7<&-
      code=0
      said=$("$1" "$name" 2>&1) || code=$?
      if [ "$code" != 0 ] || [ -n "$said" ]; then printf '%s: %s: %s\n' "$name" "$code" "$(printf %s "$said" | tr '\n' ' ')"; fi
    ) &
  done
  until [ "$(find /srv/burst/ready -type f | wc -l)" = "$size" ]; do sleep 0.05; done
  begun=$(date +%s%3N)
  exec 8>&-
  wait
  echo $(($(date +%s%3N) - begun))
}
