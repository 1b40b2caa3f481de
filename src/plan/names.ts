/** What a container is told about names, and what others know it by: pure. */
import type { NameDefaults } from '../config/types.ts';

/** Each list as a whole from the first place that says it. */
export function overlay(first: NameDefaults, then: NameDefaults): NameDefaults {
  const pick = <T>(one: T[], other: T[]): T[] => (one.length > 0 ? one : other);
  return {
    dns: pick(first.dns, then.dns),
    dnsSearch: pick(first.dnsSearch, then.dnsSearch),
    dnsOption: pick(first.dnsOption, then.dnsOption),
    extraHost: pick(first.extraHost, then.extraHost),
  };
}

/** A container's name as a DNS name (RFC 1123), or null when it cannot be one: `my_db` becomes `my-db`. */
export function dnsName(container: string): string | null {
  const name = container.toLowerCase().replaceAll('_', '-');
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
  return name.length <= 253 && name.split('.').every((part) => label.test(part)) ? name : null;
}

/** The characters that CNI allows in a container id (SPEC.md), which the address store holds; no path of any kind. */
export const isSafeName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/.test(name);
