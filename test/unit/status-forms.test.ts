import { expect, it } from 'vitest';
import { mermaid, tree } from '../../src/frontend/cli/status-graph.ts';
import { metrics } from '../../src/frontend/cli/status-metrics.ts';
import type { ContainerStatus, NetworkStatus, Status } from '../../src/host/status.ts';

const container = (name: string, address: string, more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name,
  address,
  ifname: 'eth0',
  dnsName: `${name}.lxc`,
  running: true,
  pid: 7,
  ports: [],
  links: [],
  source: null,
  sharedBy: [],
  ...more,
});

const network = (name: string, more: Partial<NetworkStatus> = {}): NetworkStatus => ({
  name,
  address: '10.0.0.1/24',
  domain: 'lxc',
  bridge: true,
  uplinks: ['*'],
  defaultDevice: 'eth0',
  masquerade: 'present',
  checksum: 'present',
  antispoof: 'not needed',
  source: null,
  icc: true,
  routed: false,
  internal: false,
  served: true,
  dnsmasq: 7,
  reserved: { held: 2, of: 98 },
  containers: [],
  leases: [],
  ...more,
});

const PORT = { protocol: 'tcp', hostAddress: null, hostPort: 8080, containerPort: 80 } as const;
const STATUS: Status = {
  networks: [
    network('br0', {
      containers: [
        container('web', '10.0.0.3', {
          ports: [PORT],
          links: [{ container: 'db', alias: 'database' }],
          sharedBy: ['side'],
        }),
        container('db', '10.0.0.2', { running: false, dnsName: null }),
      ],
      leases: [
        {
          address: '10.0.0.3',
          mac: '02:00:00:00:00:03',
          expires: null,
          hostname: '',
        } as NetworkStatus['leases'][number],
        {
          address: '10.0.0.150',
          mac: '02:00:00:00:00:09',
          expires: null,
          hostname: 'vm',
        } as NetworkStatus['leases'][number],
      ],
    }),
    network('br1', { icc: false, antispoof: 'missing', source: '192.0.2.9', routed: true }),
    network('inner', { internal: true, uplinks: [], bridge: false, dnsmasq: null }),
  ],
  others: [
    {
      name: 'far',
      running: true,
      interfaces: [{ ifname: 'eth0', driver: 'macvlan', addresses: ['192.0.2.77/24'] }],
      ports: [],
      links: [],
    },
  ],
  forwarding: true,
  resolver: 'file',
  upstreams: [],
  findings: [{ severity: 'missing', about: 'host', text: 'x', remedy: null }],
};

it('is drawn as a tree', () => {
  expect(tree(STATUS)).toBe(
    `any uplink (default route: eth0)
├─ br0  10.0.0.1/24  up
│  ├─ web  10.0.0.3  web.lxc
│  │  ├─ port 80/tcp -> 0.0.0.0:8080
│  │  ├─ link to db as database
│  │  └─ side  on its network
│  ├─ db  10.0.0.2  not running
│  └─ vm  10.0.0.150  by DHCP
└─ br1  10.0.0.1/24  up  icc off  routed  antispoof missing  source 192.0.2.9
no way out
└─ inner  10.0.0.1/24  down  no dnsmasq
on no network of ours
└─ far  macvlan 192.0.2.77/24`,
  );
});

it('is a flowchart', () => {
  const lines = mermaid(STATUS).split('\n');
  expect(lines[0]).toBe('flowchart LR');
  const idOf = (text: string) => /^ {2}(n\d+)/.exec(lines.find((line) => line.includes(`"${text}`)) ?? '')?.[1];
  const [uplink, br0, web, db] = ['any uplink', 'br0 ', 'web ', 'db '].map(idOf);
  expect(lines).toContain(`  ${uplink} --- ${br0}`);
  expect(lines).toContain(`  ${br0} --- ${web}`);
  expect(lines).toContain(`  ${web} -.->|"as database"| ${db}`);
  expect(lines).toContain(`  ${idOf('published ports')} -->|"80/tcp -#62; 0.0.0.0:8080"| ${web}`);
  expect(lines).toContain(`  ${idOf('far 192.0.2.77/24')}["far 192.0.2.77/24"]`);
});

it('is metrics, each with its help and type', () => {
  const text = metrics(STATUS);
  for (const line of [
    'nethooks_findings{severity="missing"} 1',
    'nethooks_findings{severity="mistake"} 0',
    'nethooks_forwarding 1',
    'nethooks_network_up{network="br0"} 1',
    'nethooks_network_up{network="inner"} 0',
    'nethooks_network_dnsmasq_up{network="inner"} 0',
    'nethooks_network_antispoof{network="br1"} 0',
    'nethooks_network_addresses_held{network="br0"} 2',
    'nethooks_container_running{network="br0",container="db",interface="eth0"} 0',
    'nethooks_container_published_ports{network="br0",container="web",interface="eth0"} 1',
    'nethooks_other_attachments 1',
  ])
    expect(text.split('\n')).toContain(line);
  expect(text).not.toContain('nethooks_network_antispoof{network="br0"}');
  const names = new Set([...text.matchAll(/^(nethooks_\w+)/gm)].map(([, name]) => name));
  for (const name of names) {
    expect(text.match(new RegExp(`^# HELP ${name} `, 'gm'))).toHaveLength(1);
    expect(text.match(new RegExp(`^# TYPE ${name} gauge$`, 'gm'))).toHaveLength(1);
  }
});

it('of hostile names is one line each, and nothing that means something to who reads it', () => {
  const name = 'a"\\\n}#\u001b[2J<script>|\u009b';
  const status = {
    ...STATUS,
    networks: [
      network('br0', { containers: [container(name, '10.0.0.9', { links: [{ container: name, alias: name }] })] }),
    ],
    others: [],
  };
  expect(metrics(status)).toContain('{network="br0",container="a\\"\\\\\\n}#?[2J<script>|?",interface="eth0"} 1');
  for (const line of metrics(status).split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) )?nethooks_/);
  const shown = mermaid(status);
  expect(shown).not.toMatch(/<script>|(?!\n)\p{Cc}/u);
  for (const line of shown.split('\n').slice(1)) expect(line).toMatch(/^ {2}n\d+(\[|\(\[|\{\{| )/);
  expect(shown.split('\n').filter((line) => line.includes('a#34;'))).toHaveLength(2);
  expect(tree(status).split('\n')).toHaveLength(4);
  expect(tree(status)).not.toMatch(/(?!\n)\p{Cc}/u);
});
