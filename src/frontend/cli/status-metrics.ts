/**
 * `nethooks status --format prometheus`: the status as metrics, for the textfile collector of node_exporter. Pure: from data to text. The
 * names are a promise: one that is here stays.
 */
import type { Status } from '../../host/status.ts';
import type { Finding } from '../../model/finding.ts';

interface Metric {
  name: string;
  help: string;
  samples: { labels: Readonly<Record<string, string>>; value: number }[];
}

const SEVERITIES: readonly Finding['severity'][] = ['mistake', 'missing', 'warning'];

/** In the text format of Prometheus, without the last line's end. */
export const metrics = (status: Status): string => all(status).flatMap(lines).join('\n');

function all({ networks, others, forwarding, findings }: Status): Metric[] {
  type Network = Status['networks'][number];
  const each = (name: string, help: string, value: (network: Network) => number | null): Metric => ({
    name: `nethooks_network_${name}`,
    help,
    samples: networks.flatMap((network) => {
      const one = value(network);
      return one === null ? [] : [{ labels: { network: network.name }, value: one }];
    }),
  });
  const containers = networks.flatMap(({ name: network, containers: here }) =>
    here.map(({ name: container, ifname, running, ports }) => ({
      labels: { network, container, interface: ifname },
      running,
      ports: ports.length,
    })),
  );
  return [
    {
      name: 'nethooks_findings',
      help: 'What is not as it should be, as nethooks status says it.',
      samples: SEVERITIES.map((severity) => ({
        labels: { severity },
        value: findings.filter((one) => one.severity === severity).length,
      })),
    },
    {
      name: 'nethooks_forwarding',
      help: 'Whether the host forwards IPv4.',
      samples: [{ labels: {}, value: Number(forwarding) }],
    },
    each('up', 'Whether the bridge is up and has its address.', ({ bridge }) => Number(bridge)),
    each(
      'dnsmasq_up',
      'Whether the dnsmasq of the network runs; absent where there is none to run.',
      ({ served, dnsmasq }) => (served ? Number(dnsmasq !== null) : null),
    ),
    each(
      'masquerade',
      'Whether the rules that masquerade are there; absent where none are needed.',
      ({ masquerade }) => (masquerade === 'not needed' ? null : Number(masquerade === 'present')),
    ),
    each(
      'antispoof',
      'Whether the rules that check senders are there; absent where none are needed.',
      ({ antispoof }) => (antispoof === 'not needed' ? null : Number(antispoof === 'present')),
    ),
    each('icc', 'Whether containers reach each other without a link.', ({ icc }) => Number(icc)),
    each('addresses', 'Addresses that containers can get.', ({ reserved }) => reserved.of),
    each('addresses_held', 'Addresses that containers hold, running or not.', ({ reserved }) => reserved.held),
    each('leases', 'DHCP leases.', ({ leases }) => leases.length),
    {
      name: 'nethooks_container_running',
      help: 'Whether a container that holds an address runs.',
      samples: containers.map(({ labels, running }) => ({ labels, value: Number(running) })),
    },
    {
      name: 'nethooks_container_published_ports',
      help: 'Ports of the host that lead to a container.',
      samples: containers.map(({ labels, ports }) => ({ labels, value: ports })),
    },
    {
      name: 'nethooks_other_attachments',
      help: 'What is connected and on no network of nethooks.ini.',
      samples: [{ labels: {}, value: others.length }],
    },
  ];
}

/** One whose samples are none is not there at all. */
const lines = ({ name, help, samples }: Metric): string[] =>
  samples.length === 0
    ? []
    : [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} gauge`,
        ...samples.map(({ labels, value }) => `${name}${inBraces(labels)} ${value}`),
      ];

function inBraces(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** Backslash, quotation mark and line end have words of their own; no other control character is sent on. */
const escaped = (value: string): string =>
  value
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
