/** What doctor --probe tries: each running container asks by itself, and somebody outside asks its published ports. */
import { bare } from '../../model/address.ts';
import { type AttachmentRecord, attachmentId, ipv4Of, showOwner } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { Published } from '../../model/policy.ts';
import { type Found, missing } from '../../plan/checks/check.ts';
import { isLive, listRecords } from '../../store/records.ts';
import { type Exec, must } from '../../system/exec.ts';
import { filesIn } from '../../system/files.ts';
import { executable } from '../../system/install.ts';
import { startTime } from '../../system/process.ts';
import { type Answer, answersTo, type Question } from './questions.ts';

/** A question with what it means when there is no right answer to it. */
interface Trial {
  question: Question;
  isRight: (answer: Answer) => boolean;
  found: Found & { id: string; why: string };
}

/** @throws NethooksError when a program that it needs is missing */
export async function probe(
  exec: Exec,
  networks: readonly NetworkConfig[],
  host: HostFacts,
): Promise<Trial['found'][]> {
  const upstream = await answering(host.upstreams);
  const running = listRecords().filter((record) => record.state === 'attached' && isLive(record));
  const inside = running.map(async (record) => {
    const netns = namespaceOf(record);
    const trials = netns === null ? [] : trialsInside(record, networks, upstream);
    return trials.length === 0 ? [] : failures(trials, await ask(exec, netns as string, trials));
  });
  const ports = running.flatMap((record) => trialsOutside(record, host));
  const outside = ports.length === 0 ? [] : failures(ports, await askFromOutside(exec, ports));
  return [...(await Promise.all(inside)).flat(), ...outside];
}

/** A name server outside that the host itself gets an answer of; null for none: then a container is not to blame. */
async function answering(upstreams: readonly string[]): Promise<string | null> {
  const servers = upstreams.filter((server) => !server.includes(':') && !server.startsWith('127.'));
  const answers = await answersTo(servers.map((server) => ({ ask: 'dns', server, name: 'localhost' })));
  return servers.find((_, index) => answers[index] !== null) ?? null;
}

const failures = (trials: readonly Trial[], answers: readonly Answer[]): Trial['found'][] =>
  trials.flatMap(({ isRight, found }, index) => (isRight(answers[index] ?? null) ? [] : [found]));

function namespaceOf({ life }: AttachmentRecord): string | null {
  if (life === null) return null;
  return 'netns' in life ? life.netns : 'pid' in life ? `/proc/${life.pid}/ns/net` : null;
}

const WHY = {
  'probe-name': 'nobody reaches it by its name, or reaches somebody else',
  'probe-out': 'it has no way out of this host',
  'probe-port': 'nobody outside reaches what it publishes',
} as const;

const failing = (about: string, id: keyof typeof WHY, text: string): Trial['found'] => ({
  ...missing(text),
  about,
  id,
  why: WHY[id],
});

function trialsInside(
  { owner, interfaces, names, policy }: AttachmentRecord,
  networks: readonly NetworkConfig[],
  upstream: string | null,
): Trial[] {
  const about = showOwner(attachmentId(owner));
  return interfaces.flatMap((one) => {
    const network = networks.find(({ name }) => name === one.network);
    const address = ipv4Of(one);
    if (!network || address === null) return [];
    const [name] = names.own;
    const server = network.address;
    const dns: Trial[] =
      !network.dns || name === undefined
        ? []
        : [
            {
              question: { ask: 'dns', server, name: `${name}.${network.domain}` },
              isRight: (answer) => Array.isArray(answer) && (answer.includes(address) || answer.length > 1),
              found: failing(about, 'probe-name', `${server} does not say ${address} for ${name}.${network.domain}`),
            },
          ];
    // What it may reach is its own choice.
    const open = !network.internal && policy?.egress === undefined && upstream !== null;
    const out: Trial[] = open
      ? [
          {
            question: { ask: 'dns', server: upstream, name: 'localhost' },
            isRight: (answer) => answer !== null,
            found: failing(about, 'probe-out', `from ${address} the name server ${upstream} does not answer`),
          },
        ]
      : [];
    return [...dns, ...out];
  });
}

/** TCP alone: who sends UDP gets no answer where nobody listens. */
function trialsOutside({ owner, policy }: AttachmentRecord, { links, defaultDevice }: HostFacts): Trial[] {
  const uplink = links.find(({ name }) => name === defaultDevice)?.addresses[0];
  if (!policy || policy.publishFrom !== undefined) return [];
  const at = ({ hostAddress }: Published): string | null => hostAddress ?? (uplink ? bare(uplink) : null);
  return policy.publish.flatMap((port) => {
    const address = at(port);
    if (port.protocol !== 'tcp' || address === null || address.startsWith('127.')) return [];
    return [
      {
        question: { ask: 'tcp', address, port: port.hostPort },
        isRight: (answer: Answer) => answer !== null,
        found: failing(
          showOwner(attachmentId(owner)),
          'probe-port',
          `from outside ${address}:${port.hostPort} is not passed on to port ${port.containerPort}`,
        ),
      } satisfies Trial,
    ];
  });
}

/** Our own program, in a network namespace; in all other ways where we are. */
async function ask(exec: Exec, netns: string, trials: readonly Trial[]): Promise<Answer[]> {
  const input = JSON.stringify(trials.map(({ question }) => question));
  const { code, stdout } = await exec.start('nsenter', [`--net=${netns}`, '--', executable(), 'hook', 'probe'], {
    input,
  });
  return code === 0 ? (JSON.parse(stdout) as Answer[]) : [];
}

const PREFIX = 'nethooks-probe-';
/** Of a link-local subnet (RFC 3927) that is not given out. */
const [NEAR, FAR] = ['169.254.255.253', '169.254.255.254'];

/** From a namespace of its own that reaches the host as a machine outside does. */
async function askFromOutside(exec: Exec, trials: readonly Trial[]): Promise<Answer[]> {
  // Of a doctor that was killed.
  for (const name of filesIn('/run/netns'))
    if (name.startsWith(PREFIX) && startTime(Number(name.slice(PREFIX.length))) === null)
      exec('ip', ['netns', 'del', name]);
  const name = `${PREFIX}${process.pid}`;
  must(exec, 'ip', ['netns', 'add', name]);
  try {
    const link = `nhp${process.pid}`;
    const lines = [
      `link add ${link} type veth peer name eth0 netns ${name}`,
      `addr add ${NEAR}/30 dev ${link}`,
      `link set ${link} up`,
    ];
    const inside = [
      'link set lo up',
      `addr add ${FAR}/30 dev eth0`,
      'link set eth0 up',
      `route add default via ${NEAR}`,
    ];
    must(exec, 'ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
    must(exec, 'ip', ['-n', name, '-batch', '-'], { input: `${inside.join('\n')}\n` });
    return await ask(exec, `/run/netns/${name}`, trials);
  } finally {
    exec('ip', ['netns', 'del', name]);
  }
}
