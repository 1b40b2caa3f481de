import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, sh } from './host.ts';

/** Configuration of a container whose init starts nothing: what it has comes from our hooks alone. */
export const STILL = 'lxc.init.cmd = /bin/busybox sleep 3600';

/**
 * Makes LXC containers from the busybox template with the host's default.conf, and adds `config` to each one's configuration.
 * The template takes half a second, so it is run once per host; further containers copy the first one's files.
 */
export async function createContainers(host: ThrowawayHost, names: readonly string[], config = ''): Promise<void> {
  await sh(host, CREATE, names, { env: { EXTRA: config }, timeoutMs: 60_000 });
}

/** See {@link createContainers}. */
export function createContainer(host: ThrowawayHost, name: string, config = ''): Promise<void> {
  return createContainers(host, [name], config);
}

const CREATE = `
model=/var/lib/lxc/.model
for name; do
  directory=/var/lib/lxc/$name
  if [ -d $model ]; then
    lxc-create -n "$name" -t none
    cp -a $model/rootfs "$directory"
    sed -n '/^lxc.rootfs.path/,$p' $model/lines |
      sed "s|^\\(lxc.rootfs.path\\) = .*|\\1 = dir:$directory/rootfs|; s|^\\(lxc.uts.name\\) = .*|\\1 = $name|" >>"$directory/config"
  else
    lxc-create -n "$name" -t busybox
    mkdir $model.new
    cp -a "$directory/rootfs" $model.new
    cp "$directory/config" $model.new/lines # not \`config\`: it is no container
    mv $model.new $model
  fi
  printf '%s\\n' "$EXTRA" >>"$directory/config"
done
`;

/** A container `debian` with the machine's own programs, as in a Debian, but nethooks is not in it. */
export const DEBIAN_CONTAINER = `
lxc-create -n debian -t none
root=/var/lib/lxc/debian/rootfs
mkdir -p $root/usr $root/etc $root/proc $root/sys $root/dev $root/run $root/tmp $root/var/lib/dhcp $root/var/lib/dhcpcd
for name in bin sbin lib lib64; do ln -s usr/$name $root/$name; done
for name in passwd group nsswitch.conf ld.so.cache alternatives dhcp dhcpcd.conf; do cp -a /etc/$name $root/etc/$name; done
rm $root/etc/dhcp/dhclient-enter-hooks.d/nethooks
: >$root/etc/fstab # dhclient-script reads it, and the lease is declined where it cannot
cat >>/var/lib/lxc/debian/config <<'END'
lxc.rootfs.path = dir:/var/lib/lxc/debian/rootfs
lxc.uts.name = debian
lxc.mount.auto = proc:mixed sys:ro
lxc.mount.entry = /usr usr none ro,bind 0 0
lxc.init.cmd = /bin/sleep 3600
END
`;

/** Runs a command in a container and returns what it printed. Throws if it fails. */
export function inContainer(host: ThrowawayHost, name: string, argv: readonly string[]): Promise<string> {
  return must(host, ['lxc-attach', '-n', name, '--', ...argv]);
}

/** A container's init, as a PID in the host. */
export async function containerPid(host: ThrowawayHost, name: string): Promise<number> {
  return Number(await must(host, ['lxc-info', '-n', name, '-pH']));
}
