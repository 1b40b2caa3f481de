import { type Check, interfaceKey, warning } from './check.ts';
import { uplinksOf } from './uplinks.ts';

/** The larger of the two values counts; 1 is strict (ip-sysctl, rp_filter). */
export const reversePath: Check = {
  id: 'rp-filter',
  title: 'reverse path filter',
  why: 'with rp_filter = 1 answers that come by another interface than the route to their sender are dropped without a trace',
  find: ({ networks, host, sysctls }) => {
    const uplinks = [...new Set(networks.flatMap((one) => uplinksOf(one, host)))];
    const strict = (name: string): boolean =>
      Math.max(
        Number(sysctls['net/ipv4/conf/all/rp_filter'] ?? 0),
        Number(sysctls[interfaceKey(name, 'rp_filter')] ?? 0),
      ) === 1;
    return uplinks.length < 2
      ? []
      : uplinks
          .filter((name) => name !== host.defaultDevice && strict(name))
          .map((name) =>
            warning(
              `${name} is an uplink beside the default route's and filters by reverse path (rp_filter = 1)`,
              `sysctl net.ipv4.conf.${name.replaceAll('.', '/')}.rp_filter=2`,
            ),
          );
  },
};
