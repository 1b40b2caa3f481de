/** Docker-style flags, as they stand on a hook line: `--publish 8080:80 --link=db:database -P`. */

interface Flag {
  key: string;
  list?: boolean;
  /** Takes no value of its own: `--publish-all`, or `--publish-all=false`. */
  boolean?: boolean;
}

const list = (key: string): Flag => ({ key, list: true });

/** By the word they are given with; the keys of a container's file all are flags, and Docker's own spelling of some. */
export const FLAGS: Readonly<Record<string, Flag>> = {
  '--network': { key: 'network' },
  '--address': { key: 'address' },
  '--ip': { key: 'address' },
  '--mtu': { key: 'mtu' },
  '--hostname': { key: 'hostname' },
  '-h': { key: 'hostname' },
  '--aliases': list('aliases'),
  '--alias': list('aliases'),
  '--network-alias': list('aliases'),
  '--publish': list('publish'),
  '-p': list('publish'),
  '--expose': list('expose'),
  '--publish-all': { key: 'publish-all', boolean: true },
  '-P': { key: 'publish-all', boolean: true },
  '--link': list('link'),
  '--dns': list('dns'),
  '--dns-search': list('dns-search'),
  '--dns-option': list('dns-option'),
  '--dns-opt': list('dns-option'),
  '--extra-host': list('extra-host'),
  '--add-host': list('extra-host'),
  '--resolv-conf': { key: 'resolv-conf' },
};

const NIC_KEYS: readonly string[] = ['network', 'address', 'mtu'];

export interface FlagData {
  [key: string]: string | string[] | Record<string, Record<string, string>> | undefined;
  /** Keys of interfaces, by the N of lxc.net.N. */
  net: Record<string, Record<string, string>>;
}

/**
 * The same data that a container's file gives. `--nic N` says which interface the flags behind it are about.
 * @param refused is told about each word that is no flag, or has no value
 */
export function parseFlags(words: readonly string[], refused: (message: string) => void): FlagData {
  const data: FlagData = { net: {} };
  let nic = '0';
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    const [, name = word, attached] = /^(--[^=]*)=(.*)$/s.exec(word) ?? /^(-[php])(.+)$/s.exec(word) ?? [];
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined;
    if (!flag && name !== '--nic') {
      refused(`${word}: unknown; allowed: ${[...Object.keys(FLAGS), '--nic'].join(', ')}`);
      continue;
    }
    const value = attached ?? (flag?.boolean ? 'true' : words[++index]);
    if (value === undefined || (attached === undefined && /^-/.test(value))) {
      refused(`${name}: its value is missing`);
      continue;
    }
    if (!flag) nic = value;
    else if (flag.list) data[flag.key] = [...((data[flag.key] as string[] | undefined) ?? []), value];
    else if (NIC_KEYS.includes(flag.key)) data.net[nic] = { ...data.net[nic], [flag.key]: value };
    else data[flag.key] = value;
  }
  return data;
}
