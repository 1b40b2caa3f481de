/** One of a throwaway host's interfaces to the fake internet. Addresses are from the ranges for documentation (RFC 5737). */
export interface Uplink {
  /** Interface name, the same on both sides. */
  readonly name: string;
  /** The host's address. */
  readonly address: string;
  /** The far side's address, the host's default gateway here. */
  readonly gateway: string;
}

/** Address of the fake internet, on its loopback; also its DNS server, where asked for. */
export const INTERNET = '198.51.100.1';

/** What the fake internet's DNS server resolves to {@link INTERNET}. */
export const INTERNET_NAME = 'internet.example';

/** eth0 in TEST-NET-1, eth1 in TEST-NET-3, any further in the benchmark range (RFC 2544); all of them /24. */
export function uplinks(count: number): Uplink[] {
  return Array.from({ length: count }, (_, i) => {
    const net = ['192.0.2', '203.0.113'][i] ?? `198.18.${i}`;
    return { name: `eth${i}`, address: `${net}.2`, gateway: `${net}.1` };
  });
}

/** The lines that init.sh reads: name, address, the far side's address, gateway, metric (eth0 wins, the next takes over). */
export function uplinkLines(list: readonly Uplink[]): string {
  return list.map((u, i) => `${u.name} ${u.address}/24 ${u.gateway}/24 ${u.gateway} ${100 + i}`).join('\n');
}
