/** What there is of Debian's lxc-net, and which containers are on its bridge: reading only. */
import { dirname } from 'node:path';
import { readLinks } from '../../host/facts.ts';
import type { Finding } from '../../model/finding.ts';
import {
  type ConfLine,
  LXC_NET_DEFAULTS,
  type LxcNetLease,
  type LxcNetRecord,
  type TakenContainer,
  type TakenNic,
} from '../../model/lxc-net.ts';
import { LXC_NET_RECORD, leasesFile, lxcNetLeases } from '../../model/paths.ts';
import { boolean, fields, listOf, text, word } from '../../model/shape.ts';
import { ALIAS } from '../../plan/host/bridge.ts';
import type { LxcNetFacts } from '../../plan/host/take-over.ts';
import { readKept } from '../../store/records.ts';
import type { Exec } from '../../system/exec.ts';
import { readText } from '../../system/files.ts';
import { readJson } from '../../system/json-file.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { isLxcNetUp, lxcNetLeft, lxcNetSettings } from '../../system/lxc-net.ts';
import { enablement, systemdRuns } from '../../system/systemd.ts';
import { knownContainers, type LxcContainer } from './containers.ts';
import { type LxcNic, withIncludes } from './lxc-config.ts';

const recordShape = fields({
  mode: word('here', 'move'),
  bridge: text,
  enabled: boolean,
  active: boolean,
  containers: listOf(text),
});

/** What was found when it was taken over; null when it is not. */
export function readLxcNetRecord(): LxcNetRecord | null {
  const found = readJson<LxcNetRecord>(LXC_NET_RECORD, recordShape);
  return found.state === 'found' ? found.value : null;
}

const UNIT = 'lxc-net.service';

export async function gatherLxcNetFacts(exec: Exec): Promise<LxcNetFacts> {
  const settings = lxcNetSettings();
  const { bridge, confFile } = settings;
  const systemd = systemdRuns();
  return {
    settings,
    defaults: readText(LXC_NET_DEFAULTS),
    confLines: confFile === '' ? [] : linesOf(confFile),
    leases: leasesOf(readText(lxcNetLeases(bridge)) ?? '', Date.now() / 1000),
    containers: containersOn(bridge).map(({ container, nics }) => taken(exec, container, nics)),
    links: await readLinks(exec),
    record: readLxcNetRecord(),
    recordText: readText(LXC_NET_RECORD),
    systemd,
    enabled: systemd && enablement(exec, UNIT) === 'enabled',
    // Not by its unit: lxc.service starts that at every boot, also where it does nothing.
    active: isLxcNetUp(),
    left: lxcNetLeft(exec, settings),
    hasLeases: readText(leasesFile(bridge)) !== null,
  };
}

/** The containers with an interface on a bridge, without snapshots. */
export function containersOn(bridge: string): { container: LxcContainer; nics: LxcNic[] }[] {
  return knownContainers()
    .containers.filter(({ name }) => !name.includes('/'))
    .flatMap((container) => {
      const all = withIncludes(readText(container.configFile) ?? '', readInclude);
      const nics = all.filter(({ type, link }) => type === 'veth' && link === bridge);
      return nics.length > 0 ? [{ container, nics }] : [];
    });
}

function taken(exec: Exec, { name, configFile }: LxcContainer, nics: readonly LxcNic[]): TakenContainer {
  const running = addressesInside(exec, name, dirname(dirname(configFile)));
  return {
    name,
    configFile,
    kept: readKept(name),
    nics: nics.map(({ index, name: ifname, hwaddr, addresses }): TakenNic => {
      const now = running.find((one) => one.ifname === ifname);
      return {
        index,
        ifname,
        mac: now?.mac ?? hwaddr ?? null,
        hasOwnMac: hwaddr !== undefined,
        address: addresses[0]?.split('/')[0] ?? null,
        running: now?.addresses ?? [],
      };
    }),
  };
}

/** A container's interfaces as they are; none where it does not run. */
function addressesInside(exec: Exec, name: string, directory: string) {
  const pid = exec('lxc-info', ['-P', directory, '-n', name, '-p', '-H']).stdout.trim();
  if (!/^\d+$/.test(pid)) return [];
  const { code, stdout } = exec('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', '-json', 'address', 'show']);
  if (code !== 0) return [];
  const links = JSON.parse(stdout) as {
    ifname: string;
    address?: string;
    addr_info?: { family?: string; local?: string }[];
  }[];
  return links.map(({ ifname, address = null, addr_info = [] }) => ({
    ifname,
    mac: address,
    addresses: addr_info.flatMap(({ family, local }) => (family === 'inet' && local ? [local] : [])),
  }));
}

/** Those that last; `now` in seconds since the epoch. */
function leasesOf(content: string, now: number): LxcNetLease[] {
  return content.split('\n').flatMap((line) => {
    const [expires = '', mac = '', address = '', hostname = ''] = line.split(' ');
    if (!/^\d+$/.test(expires) || hostname === '' || (expires !== '0' && Number(expires) < now)) return [];
    return [{ address, mac: mac.toLowerCase(), hostname: hostname === '*' ? null : hostname }];
  });
}

function linesOf(path: string): ConfLine[] {
  return (readText(path) ?? '').split('\n').flatMap((line, index) => {
    const content = line.replace(/(^|\s)#.*$/, '').trim();
    return content === '' ? [] : [{ place: `${path}:${index + 1}`, text: content }];
  });
}

/** That there are two bridges, and who is on the other one. */
export function lxcNetFindings(): Finding[] {
  const { bridge, address, prefix } = lxcNetSettings();
  const isOurs = readText(`/sys/class/net/${bridge}/ifalias`)?.trim() === ALIAS;
  if (!isLxcNetUp() || isOurs || readText(`/sys/class/net/${bridge}/bridge/bridge_id`) === null) return [];
  const names = containersOn(bridge).map(({ container }) => container.name);
  const who = names.length === 0 ? 'no container is on it' : `on it: ${names.join(', ')}`;
  return [
    {
      severity: 'warning',
      about: 'host',
      text: `Debian's lxc-net has a bridge of its own beside ours, ${bridge} with ${address}/${prefix}; ${who}`,
      remedy: 'nethooks take-over lxc-net',
    },
  ];
}
