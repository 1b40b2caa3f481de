/** A line of hosts(5), in whichever file: the host's for dnsmasq, or a container's own. Each name once. */
export const hostsEntry = (address: string, names: readonly string[]): string => [address, ...new Set(names)].join(' ');
