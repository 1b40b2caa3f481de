/** The options of `nethooks configure`: a container's keys in Docker's words, made from one table. */
import { Option } from 'commander';

interface KeyOption {
  key: string;
  flags: string;
  description: string;
  list?: boolean;
}

const list = (key: string, flags: string, description: string): KeyOption => ({ key, flags, description, list: true });

const KEYS: readonly KeyOption[] = [
  { key: 'address', flags: '--address <address>', description: 'auto, dhcp, or an IPv4 address of the network' },
  { key: 'mtu', flags: '--mtu <bytes>', description: 'auto, or bytes' },
  { key: 'hostname', flags: '-h, --hostname <name>', description: 'what it calls itself' },
  list('aliases', '--aliases <name>', 'a further name in DNS'),
  list('publish', '-p, --publish <spec>', 'a port of the host for one of its own: [[IP:][HOST-PORT]:]PORT[/PROTOCOL]'),
  list('expose', '--expose <port>', 'a port that links open and --publish-all publishes'),
  { key: 'publish-all', flags: '-P, --publish-all [yes]', description: 'publish every exposed port' },
  list('link', '--link <container:alias>', 'reach the exposed ports of another container, by an alias'),
  list('dns', '--dns <address>', 'a DNS server to ask instead of ours'),
  list('dns-search', '--dns-search <domain>', 'a search domain; a single . for none'),
  list('dns-option', '--dns-option <option>', 'an option of resolv.conf(5)'),
  list('extra-host', '--extra-host <name:address>', 'a line of its /etc/hosts'),
  { key: 'resolv-conf', flags: '--resolv-conf <how>', description: 'auto, force (also over a symbolic link), none' },
];

/** Each key's option, and `--no-KEY`. What is given sets the key for all of its values; a list's option is given again for each. */
export function containerOptions(): Option[] {
  return KEYS.flatMap(({ key, flags, description, list: repeated }) => {
    const option = new Option(flags, description);
    if (repeated)
      option.argParser((value: string, before: unknown) => [...(Array.isArray(before) ? before : []), value]);
    return [option, new Option(`--no-${key}`, `take ${key} out`)];
  }).concat(new Option('--no-network', 'take network out'));
}

const camel = (key: string): string => key.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** What was given, as the words of a hook line. */
export function flagWords(options: Record<string, unknown>): string[] {
  const nic = typeof options.nic === 'string' && options.nic !== '0' ? ['--nic', options.nic] : [];
  const words = KEYS.flatMap(({ key }) => {
    const value = options[camel(key)];
    if (value === undefined || value === false) return [];
    const values = Array.isArray(value) ? value : [value === true ? 'true' : String(value)];
    return values.map((one) => `--${key}=${one}`);
  });
  const network = nic.length > 0 && typeof options.network === 'string' ? [`--network=${options.network}`] : [];
  return words.length + network.length > 0 ? [...nic, ...network, ...words] : [];
}

/** The keys that are to be taken out. */
export const withoutKeys = (options: Record<string, unknown>): string[] =>
  ['network', ...KEYS.map(({ key }) => key)].filter((key) => options[camel(key)] === false);
