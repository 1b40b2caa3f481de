import { execFileSync } from 'node:child_process';
import { accessSync } from 'node:fs';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { PLUGINS, STOCK_PLUGINS } from './cni.ts';
import { sh, writeFile } from './host.ts';

/** Where a root file system of busybox is, for `podman run --rootfs`. On a tmpfs: an overlay cannot lie on an overlay on an overlay. */
export const ROOTFS = '/run/rootfs';

/** Whether podman and what it needs is installed on this machine. */
export function hasPodman(): boolean {
  try {
    for (const program of ['/usr/bin/podman', '/usr/sbin/runc', '/usr/bin/conmon']) accessSync(program);
    return true;
  } catch {
    return false;
  }
}

/** Why podman cannot call CNI plugins here; undefined if it can. From version 5 on, as in Debian 13, it knows netavark only. */
export function noCni(): string | undefined {
  const version = execFileSync('podman', ['--version'], { encoding: 'utf8' }).trim();
  return Number(/\d+/.exec(version)) >= 5 ? `${version} has no CNI` : undefined;
}

/** Sets podman up to use CNI, without systemd and without images. */
export async function setUpPodman(host: ThrowawayHost): Promise<void> {
  await writeFile(host, '/etc/containers/containers.conf', CONTAINERS);
  await writeFile(host, '/etc/containers/storage.conf', STORAGE);
  await sh(
    host,
    `rm -rf /etc/cni/net.d; mkdir -p /etc/cni/net.d $1; cd $1; mkdir bin dev etc proc run sys tmp; cp /bin/busybox bin
    for name in sh sleep ip cat ping httpd nslookup wget hostname; do ln -s busybox bin/$name; done`,
    [ROOTFS],
  );
}

const CONTAINERS = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[network]
network_backend = "cni"
cni_plugin_dirs = ["${PLUGINS}", "${STOCK_PLUGINS}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

const STORAGE = `[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`;
