import { type Check, missing, warning } from './check.ts';

const [FULL, CLOSE] = [0.98, 0.8];

export const conntrack: Check = {
  id: 'conntrack-full',
  title: 'the table of connections',
  why: 'in a full table no new connection is translated: nothing new gets out, and no published port answers',
  find: ({ sysctls }) => {
    const [count, most] = ['count', 'max'].map((key) => Number(sysctls[`net/netfilter/nf_conntrack_${key}`] ?? 0)) as [
      number,
      number,
    ];
    const share = most === 0 ? 0 : count / most;
    if (share < CLOSE) return [];
    const say = share < FULL ? warning : missing;
    return [say(`${count} of ${most} connections are in use`, `sysctl net.netfilter.nf_conntrack_max=${2 * most}`)];
  },
};
