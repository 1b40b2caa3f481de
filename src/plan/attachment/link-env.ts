/** The environment that a link gives its parent (moby, daemon/links/links.go): pure. */
import { type LxcSetting, listedValues } from '../../model/lxc-config.ts';
import type { Link } from '../../model/policy.ts';
import type { Port } from '../../model/ports.ts';

/** LXC's own line for a variable (lxc.container.conf(5), ENVIRONMENT VARIABLES). */
const line = (name: string, value: string): string => `lxc.environment = ${name}=${value}\n`;

/** What a child's configuration puts into its environment, by name. */
export type Environment = Readonly<Record<string, string>>;

/** The variables that an LXC configuration sets. A name without `=` is one that LXC hands on from its own environment: not known here. */
export function environmentIn(settings: readonly LxcSetting[]): Environment {
  const variables = listedValues(settings, 'lxc.environment').map((value) => /^([A-Za-z_]\w*)=(.*)$/s.exec(value));
  return Object.fromEntries(variables.flatMap((found) => (found ? [[found[1] as string, found[2] as string]] : [])));
}

/**
 * The file that a container with links includes in its LXC configuration.
 * @param environments of the children, by container name
 */
export function linkEnvironmentFile(
  parent: string,
  links: readonly Link[],
  environments: Readonly<Record<string, Environment>>,
): string {
  const lines = links.flatMap((link) =>
    Object.entries(linkEnvironment(parent, link, environments[link.container] ?? {})).map(([name, value]) =>
      line(name, value),
    ),
  );
  return `${header(parent)}${lines.join('')}`;
}

const header = (parent: string): string =>
  `# Written by nethooks: what the links of ${parent} are called in its environment.\n`;

/** The same file for a container that has the same links. */
export const linkEnvironmentFor = (text: string, from: string, to: string): string =>
  text
    .replace(header(from), header(to))
    .replace(/^(lxc\.environment = \w+_NAME=\/)([^/\n]+)\//gm, (found, start: string, parent: string) =>
      parent === from ? `${start}${to}/` : found,
    );

/**
 * The variables of one link, as Docker names them: for `db:database` with tcp/5432 exposed `DATABASE_NAME=/parent/database`,
 * `DATABASE_PORT=tcp://ADDR:5432`, `DATABASE_PORT_5432_TCP=tcp://ADDR:5432` and `…_ADDR`, `…_PORT`, `…_PROTO`, for runs of ports
 * `…_START`, `…_END`, `…_PORT_START`, `…_PORT_END`, and `DATABASE_ENV_X` for the child's own variable X.
 */
export function linkEnvironment(parent: string, { alias, to, ports }: Link, child: Environment): Environment {
  const prefix = alias.toUpperCase().replace(/[-.]/g, '_');
  // The lowest first; tcp before the others, where a number is exposed for several.
  const sorted = [...ports].sort((a, b) => a.port - b.port || order(a) - order(b));
  const url = ({ protocol, port }: Port): string => `${protocol}://${to}:${port}`;
  const found: Record<string, string> = {};
  if (sorted[0]) found[`${prefix}_PORT`] = url(sorted[0]);
  for (const [first, last] of runs(sorted)) {
    const start = `${prefix}_PORT_${first.port}_${first.protocol.toUpperCase()}`;
    found[`${start}_START`] = url(first);
    found[`${start}_PORT_START`] = String(first.port);
    found[`${start}_END`] = url(last);
    found[`${start}_PORT_END`] = String(last.port);
  }
  for (const port of sorted) {
    const name = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`;
    found[name] = url(port);
    found[`${name}_ADDR`] = to;
    found[`${name}_PORT`] = String(port.port);
    found[`${name}_PROTO`] = port.protocol;
  }
  found[`${prefix}_NAME`] = `/${parent}/${alias}`;
  for (const [name, value] of Object.entries(child))
    if (name !== 'HOME' && name !== 'PATH') found[`${prefix}_ENV_${name}`] = value;
  return found;
}

const order = ({ protocol }: Port): number => (protocol === 'tcp' ? 0 : 1);

/** Runs of two or more consecutive ports of one protocol: first and last of each. */
function runs(sorted: readonly Port[]): [Port, Port][] {
  const found: [Port, Port][] = [];
  for (const protocol of new Set(sorted.map((port) => port.protocol))) {
    const ports = sorted.filter((port) => port.protocol === protocol);
    for (let index = 0; index < ports.length; ) {
      let end = index;
      while (ports[end + 1]?.port === (ports[end] as Port).port + 1) end++;
      if (end > index) found.push([ports[index] as Port, ports[end] as Port]);
      index = end + 1;
    }
  }
  return found;
}
