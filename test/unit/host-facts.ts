/** Hosts that are made up. */
import { resolve } from '../../src/config/resolve.ts';
import type { NetworkConfig } from '../../src/model/config.ts';
import type { HostFacts, LinkFact } from '../../src/model/facts.ts';

/** A network of the configuration, with values as resolve() takes them. */
export const network = (name = 'br0', values: object = {}): NetworkConfig =>
  resolve({ network: { [name]: { address: '10.0.0.1/24', ...values } } }).networks[0] as NetworkConfig;

export const link = (name: string, values: Partial<LinkFact> = {}): LinkFact => ({
  name,
  kind: '',
  mac: '02:00:00:00:00:01',
  fixedMac: true,
  mtu: 1500,
  up: true,
  alias: '',
  group: 'default',
  master: '',
  addresses: [],
  exposed: false,
  filtersBridged: false,
  index: 1,
  hairpin: false,
  ...values,
});

export const facts = (values: Partial<HostFacts> = {}): HostFacts => ({
  links: [],
  routes: [],
  defaultDevice: 'eth0',
  ipForward: '0',
  nft: null,
  antispoof: { supported: true, noted: {} },
  attached: [],
  others: null,
  firewalld: null,
  adminRules: null,
  bridgeNetfilter: false,
  filtersAllBridges: false,
  localnet: { on: [], noted: [] },
  policies: [],
  unsure: [],
  iptables: [],
  files: {},
  dnsmasq: {},
  systemDnsmasq: { pid: null, hasDropIns: false, readsDropIns: true, setsBinding: false, setsAccess: false },
  holders: [],
  managers: { systemd: false, networkManager: false, named: [] },
  resolver: { kind: 'file', text: null, link: null, registered: {} },
  upstreams: [],
  lxcNet: { bridge: 'lxcbr0', comes: true },
  lxcVersion: null,
  processors: 2,
  leaseScript: null,
  dnsmasqVersion: null,
  ...values,
});
