#!/bin/sh
# What LXC and a CNI runtime do around our hooks, as functions for tests and benchmarks on a throwaway host.

# As with lxc-start -P.
lxcpath=${lxcpath:-/var/lib/lxc}

# As lxc-create leaves a container. Its MAC is its own from start to start, as in its configuration.
create() { # NAME
  mkdir -p "/srv/roots/$1/etc" "$lxcpath/$1"
  [ -e /srv/roots/busybox ] || cp "$(command -v busybox)" /srv/roots/busybox
  ln -f /srv/roots/busybox "/srv/roots/$1/busybox"
  echo "$1" >"/srv/roots/$1/etc/hostname"
  echo '127.0.0.1 localhost' >"/srv/roots/$1/etc/hosts"
  printf '%s\n' 'lxc.net.0.type = veth' 'lxc.net.0.link = br0' 'lxc.net.0.flags = up' >"$lxcpath/$1/config"
}
# What LXC has done when it runs start-host: the pair is there, and init in its namespaces.
begin() { # NAME
  ip netns add "$1"
  ip link add "v$1" type veth peer name eth0 netns "$1"
  ip link set "v$1" master br0 up
  run_init "$1"
}
run_init() { # NAME: an orphan, so that init collects it
  (
    nsenter --net="/run/netns/$1" setsid chroot "/srv/roots/$1" /busybox sleep 3600 </dev/null >/dev/null 2>&1 &
    echo $! >"/srv/$1.pid"
  )
  read -r pid <"/srv/$1.pid"
  while [ ! -e "/proc/$pid/root/busybox" ]; do sleep 0.002; done
}
# What has gone when LXC runs post-stop.
end() { # NAME
  read -r pid <"/srv/$1.pid"
  kill -KILL "$pid"
  while [ -e "/proc/$pid" ]; do sleep 0.002; done
  ip link delete "v$1"
  ip netns delete "$1"
}
# Runs one of our LXC hooks as LXC does.
hook() { # EVENT NAME [FLAG]…
  event=$1 name=$2
  read -r pid <"/srv/$2.pid"
  shift 2
  LXC_NAME=$name LXC_PID=$pid LXC_CONFIG_FILE=$lxcpath/$name/config LXC_HOOK_TYPE=$event LXC_HOOK_VERSION=1 \
    "/usr/lib/nethooks/lxc/$event" "$@"
}
# Calls a CNI plugin as a runtime does.
cni() { # VERB ID CONFIG [PLUGIN]
  printf %s "$3" | CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=eth0 \
    CNI_PATH=/opt/cni/bin:/usr/lib/cni "${4:-/opt/cni/bin/nethooks}"
}
