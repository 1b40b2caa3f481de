import { readdirSync, readFileSync } from 'node:fs';
import Mustache from 'mustache';
import { describe, expect, it } from 'vitest';
import type { MacvlanView, NetworkView } from '../../src/frontend/cni/net-d.ts';
import type { FirstConfigView } from '../../src/host/first-config.ts';
import type { DnsmasqView } from '../../src/plan/host/dnsmasq.ts';
import type { LxcDefaultView } from '../../src/plan/host/lxc-default.ts';
import { fill } from '../../src/plan/template.ts';

const FOLDER = new URL('../../templates/', import.meta.url);
const range = { from: '', to: '' };

/** A view of each template's type, with everything in it: what is missing or too much here does not compile. */
const VIEWS = {
  'dnsmasq.conf.mustache': {
    name: '',
    address: '',
    domain: '',
    dns: true,
    zones: [''],
    pidFile: '',
    namesDir: '',
    resolvFile: '',
    upstream: [''],
    internal: true,
    neighbours: [{ address: '', zones: [''] }],
    dhcp: { ...range, netmask: '', lease: 1, most: 1 },
    dhcpHostsDir: '',
    dhcpOptionsDir: '',
    macTags: '',
    leasesFile: '',
    leaseScript: '',
    dnsServers: '',
    search: '',
    mtu: 1,
    lines: [''],
  } satisfies DnsmasqView,
  'lxc-default.conf.mustache': { bridge: '', hooks: '', legacy: true, version: '' } satisfies LxcDefaultView,
  'nethooks.ini.mustache': { name: '', address: '', prefix: 1, dhcp: range, reserve: range } satisfies FirstConfigView,
  'net.d/network.conf.mustache': { name: '' } satisfies NetworkView,
  'net.d/network.conflist.mustache': { name: '' } satisfies NetworkView,
  'net.d/custom_rkt_bridge_dhcp.conf.mustache': { master: '' } satisfies MacvlanView,
};

type View = Record<string, unknown>;
const isView = (value: unknown): value is View => typeof value === 'object' && value !== null;

/** Looks up every name in a template as Mustache does, from the innermost section outwards. */
class Names {
  readonly unknown: string[] = [];
  readonly #used = new Map<View, Set<string>>();

  walk(tokens: unknown[][], stack: readonly unknown[]): void {
    for (const [kind, name, , , children] of tokens as [string, string, number, number, unknown[][]][]) {
      if (kind === 'text' || kind === '!') continue;
      const value = this.#lookUp(name, stack);
      const inner = Array.isArray(value) ? value[0] : value;
      if (kind === '#') this.walk(children, [...stack, inner]);
      if (kind === '^') this.walk(children, stack);
    }
  }

  /** Fields of a view that no template names. */
  unused(view: View): string[] {
    return Object.entries(view).flatMap(([key, value]) => {
      const inner: unknown = Array.isArray(value) ? value[0] : value;
      const own = this.#used.get(view)?.has(key) ? [] : [key];
      return [...own, ...(isView(inner) ? this.unused(inner) : [])];
    });
  }

  #lookUp(name: string, stack: readonly unknown[]): unknown {
    if (name === '.') return stack.at(-1);
    const [first = '', ...rest] = name.split('.');
    let value: unknown = stack.findLast((view) => isView(view) && first in view);
    for (const key of [first, ...rest]) {
      if (!isView(value) || !(key in value)) {
        this.unknown.push(name);
        return undefined;
      }
      this.#used.set(value, (this.#used.get(value) ?? new Set()).add(key));
      value = value[key];
    }
    return value;
  }
}

const templates = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.mustache'))
  .map((name) => ({ name, tokens: Mustache.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as unknown[][] }));

describe('templates', () => {
  it.each(templates)('$name names what is in its view, and all of that', ({ name, tokens }) => {
    const view: View = Object.hasOwn(VIEWS, name) ? structuredClone(VIEWS[name as keyof typeof VIEWS]) : {};
    const names = new Names();
    names.walk(tokens, [view]);
    expect(names.unknown).toEqual([]);
    expect(names.unused(view)).toEqual([]);
  });

  it('are there for every view', () => {
    expect(templates.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(VIEWS)));
  });

  it('with another view do not compile', () => {
    expect(fill<NetworkView>('{{name}}', { name: 'br0' })).toBe('br0');
    // @ts-expect-error: which view?
    expect(fill('{{name}}', { name: 'br0' })).toBe('br0');
    // @ts-expect-error: the field has another name
    expect(fill<NetworkView>('{{name}}', { title: 'br0' })).toBe('');
  });
});
