import { type Check, interfaceKey, missing } from './check.ts';
import { uplinksOf } from './uplinks.ts';

/** ip_forward sets the value of every interface, and each can be set back by itself (ip-sysctl, conf/INTERFACE/forwarding). */
export const forwarding: Check = {
  id: 'interface-forwarding',
  title: 'forwarding of each interface',
  why: 'packets that come in by an interface with forwarding = 0 are not passed on, whatever net.ipv4.ip_forward says',
  find: ({ networks, host, sysctls }) =>
    host.ipForward !== '1'
      ? []
      : [...new Set([...networks.map(({ name }) => name), ...networks.flatMap((one) => uplinksOf(one, host))])]
          .filter((name) => sysctls[interfaceKey(name, 'forwarding')] === '0')
          .map((name) => ({
            ...missing(
              `${name} has forwarding off, while the host forwards`,
              `sysctl net.ipv4.conf.${name.replaceAll('.', '/')}.forwarding=1`,
            ),
            fix: { kind: 'sysctl', key: interfaceKey(name, 'forwarding'), value: '1' },
          })),
};
