/** What goes with us into other programs' settings, and what is said of those who are in the way. */
import { describe, expect, it } from 'vitest';
import type { HostFacts, PortHolder } from '../../src/model/facts.ts';
import { EMPTY_RECORD } from '../../src/model/host-record.ts';
import { LXC_DEFAULT_CONF, NETWORK_MANAGER, NETWORKD_NETWORK, SYSTEM_DNSMASQ } from '../../src/model/paths.ts';
import type { FileStep, Step } from '../../src/model/step.ts';
import { planDefaultConf, planDefaultConfDown } from '../../src/plan/host/lxc-default.ts';
import { planManagers } from '../../src/plan/host/managers.ts';
import { heldPorts } from '../../src/plan/host/port-holders.ts';
import { planSystemDnsmasq, planSystemDnsmasqDown } from '../../src/plan/host/system-dnsmasq.ts';
import { facts, link, network } from './host-facts.ts';

const host = EMPTY_RECORD.host;
const br0 = network('br0');
const br1 = network('br1', { address: '10.1.0.1/20' });
const holder = (values: Partial<PortHolder> = {}): PortHolder => ({
  port: 53,
  protocol: 'udp',
  address: '0.0.0.0',
  networks: ['br0'],
  owner: { pid: 812, name: 'named' },
  ...values,
});

describe("the file for this host's own dnsmasq", () => {
  const system = { pid: null, hasDropIns: false, readsDropIns: true, setsBinding: false, setsAccess: false };
  const plan = (values: Partial<HostFacts> = {}, networks = [br0]) => planSystemDnsmasq(host, networks, facts(values));
  const lines = (values: Partial<HostFacts> = {}, networks = [br0]) =>
    ((plan(values, networks)[0] as FileStep).content as string).split('\n').filter((line) => /^[^#]/.test(line));

  it('is there before it, keeps it off our bridges and has it ask us', () => {
    expect(plan().map(({ kind }) => kind)).toEqual(['file']);
    expect(lines()).toEqual([
      'bind-dynamic',
      'except-interface=br0',
      'server=/lxc/10.0.0.1',
      'server=/0.0.10.in-addr.arpa/10.0.0.1',
      'rebind-domain-ok=/lxc/',
    ]);
    expect(lines({}, [br0, br1]).filter((line) => line.includes('/lxc/'))).toEqual([
      'server=/lxc/10.0.0.1',
      'rebind-domain-ok=/lxc/',
    ]);
  });

  it('says no second binding mode, which would end it', () => {
    expect(lines({ systemDnsmasq: { ...system, setsBinding: true } })).not.toContain('bind-dynamic');
  });

  it("keeps it off lxc-net's bridge as well, whose dnsmasq it would be in the way of", () => {
    const except = 'except-interface=lxcbr0';
    expect(lines({ lxcVersion: '5.0.2' })).toContain(except);
    expect(lines({ lxcVersion: '5.0.2', lxcNet: { bridge: 'lxcbr0', comes: false } })).not.toContain(except);
  });

  it('makes it no resolver for the internet: except-interface alone would', () => {
    const links = [link('eth0', { exposed: true }), link('eth1')];
    expect(lines({ links })).toContain('except-interface=eth0');
    expect(lines({ links })).not.toContain('except-interface=eth1');
    expect(lines({ links, systemDnsmasq: { ...system, setsAccess: true } })).not.toContain('except-interface=eth0');
  });

  it('leaves bridges without a daemon of ours to it, and names where nobody asks us', () => {
    expect(plan({}, [network('br0', { dns: false, dhcp: false })])).toEqual([]);
    expect(lines({}, [network('br0', { dns: false })])).toEqual(['bind-dynamic', 'except-interface=br0']);
    const none = planSystemDnsmasq({ ...host, resolver: 'none' }, [br0], facts());
    expect((none[0] as FileStep).content).not.toContain('server=');
  });

  it('is read at once where it runs, and again where it still has our port', () => {
    const systemDnsmasq = { ...system, pid: 9 };
    const files = { [SYSTEM_DNSMASQ]: (plan()[0] as FileStep).content as string };
    const restart = { kind: 'neighbour', program: 'dnsmasq' };
    expect(plan({ systemDnsmasq })[1]).toEqual(restart);
    expect(plan({ systemDnsmasq, files })).toEqual([]);
    const holders = [holder({ owner: { pid: 9, name: 'dnsmasq' } })];
    expect(plan({ systemDnsmasq, files, holders })).toEqual([restart]);
    expect(heldPorts([br0], facts({ systemDnsmasq, holders }))).toEqual([]);
    // One that does not read it is named, and left alone.
    const deaf = { ...systemDnsmasq, readsDropIns: false };
    expect(plan({ systemDnsmasq: deaf, files, holders })).toEqual([]);
    expect(heldPorts([br0], facts({ systemDnsmasq: deaf, holders }))[0]).toContain('except-interface=br0');
    // With our files it goes again.
    expect(planSystemDnsmasqDown(facts({ systemDnsmasq, files })).map(({ kind }) => kind)).toEqual([
      'file',
      'neighbour',
      'directory',
    ]);
    expect(planSystemDnsmasqDown(facts())).toEqual([]);
  });
});

describe('another program on our ports', () => {
  const said = (holders: PortHolder[], values: object = {}) =>
    heldPorts([network('br0', values)], facts({ holders: holders }));

  it('is named once, with the way out', () => {
    expect(said([holder(), holder({ protocol: 'tcp' })])).toEqual([
      'named (pid 812) answers DNS at 10.0.0.1, too, where dnsmasq of br0 is to: say listen-on { !10.0.0.1; any; }; and listen-on-v6 { !fe80::/10; any; }; among the options in /etc/bind/named.conf.options, then systemctl restart named, or set dns = false',
    ]);
    expect(said([holder({ owner: null })])[0]).toContain('an unknown process answers DNS');
    expect(said([holder({ port: 67, owner: { pid: 5, name: 'dhcpd' } })])[0]).toContain('INTERFACESv4');
  });

  it('does no harm where we need none of it', () => {
    expect(said([holder()], { dns: false })).toEqual([]);
    expect(said([holder({ port: 67 })], { dhcp: false })).toEqual([]);
    expect(said([holder({ networks: ['br1'] })])).toEqual([]);
  });
});

describe("default.conf's line of lxc-net", () => {
  const DEBIAN = 'lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n';
  const made = (text: string, comes: boolean) =>
    planDefaultConf(
      'br0',
      '/hooks',
      facts({ lxcVersion: '5.0.2', lxcNet: { bridge: 'lxcbr0', comes }, files: { [LXC_DEFAULT_CONF]: text } }),
    );
  const content = (text: string, comes: boolean) => (made(text, comes)[0] as FileStep).content as string;
  const AWAY = DEBIAN.replace('lxc.net.0.link', '# nethooks: lxc.net.0.link');

  it('is a comment where its bridge will not come: lxc-containers would wait for it', () => {
    expect(content(DEBIAN, true).startsWith(DEBIAN)).toBe(true);
    const without = content(DEBIAN, false);
    expect(without.startsWith(AWAY)).toBe(true);
    expect(made(without, false)).toEqual([]);
    expect(content(without, true)).toBe(content(DEBIAN, true));
    expect(content(DEBIAN.replace('lxcbr0', 'mybr'), false)).toContain('\nlxc.net.0.link = mybr\n');
  });

  it('is back without us', () => {
    const [step] = planDefaultConfDown(facts({ files: { [LXC_DEFAULT_CONF]: content(DEBIAN, false) } }));
    expect(step).toMatchObject({ content: DEBIAN });
  });
});

describe('managers of networks', () => {
  const managers = { systemd: true, networkManager: true, named: [] };
  const texts = (steps: Step[]) =>
    Object.fromEntries(steps.flatMap((step) => (step.kind === 'file' ? [[step.path, step.content]] : [])));

  it('are told that bridges and pairs are ours, and again only when something changes', () => {
    const steps = planManagers([br0], facts({ managers }));
    expect(steps.map((step) => (step.kind === 'neighbour' ? step.program : step.kind))).toEqual([
      'file',
      'file',
      'systemd-networkd',
      'file',
      'NetworkManager',
    ]);
    expect(texts(steps)[NETWORKD_NETWORK]).toContain('[Match]\nName=br0 veth');
    expect(texts(steps)[NETWORK_MANAGER]).toContain('match-device=interface-name:br0,interface-name:veth');
    const files = texts(steps) as Record<string, string>;
    expect(planManagers([br0], facts({ managers, files }))).toEqual([]);
    const gone = planManagers([], facts({ managers, files }));
    expect(Object.values(texts(gone))).toEqual([null, null, null]);
    expect(planManagers([br0], facts())).toEqual([]);
  });

  it.each<[string, Partial<HostFacts>]>([
    ['is there already', { managers, links: [link('br0', { kind: 'bridge' })] }],
    ['they are to make', { managers: { ...managers, named: ['br0'] } }],
  ])('keep a bridge that %s', (_what, values) => {
    expect(texts(planManagers([br0], facts(values)))[NETWORKD_NETWORK]).toContain('Name=veth');
  });
});
