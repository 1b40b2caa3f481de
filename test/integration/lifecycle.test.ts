/** What containers hold outlives what happens to the host around them: a lost table, a lost or broken file, a path that is not mounted. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { describeLab, hookLog, labHost, sh, writeFile } from '../lab/lab.ts';
import { cniOnBridge, cniOnNetwork, difference, hostState, installLifecycle, script } from '../lab/lifecycle.ts';
import { ask, serve } from '../lab/traffic.ts';

let host: ThrowawayHost;

const start = async () => {
  await host?.close();
  host = await labHost();
  await installLifecycle(host);
};

/** The address of a container's or namespace's only interface. */
const addressOf = async (name: string) =>
  (await sh(host, `ip -n ${name} -4 -o address show eth0 | sed 's/.*inet //; s#/.*##'`)).trim();

describeLab('the table is deleted', () => {
  beforeAll(start);
  const DELETED = 'nft delete table inet nethooks';
  const TABLE = 'nft list table inet nethooks';
  /** A set lists its elements in no order. */
  const lines = (listing: string) =>
    listing
      .split(/\n|, (?=\d)/)
      .map((line) => line.replace(/elements = \{|[,}]$/g, '').trim())
      .sort();

  it('of a network, CNI with a masquerade of its own, and attach: plan and status say so, up and an interface that comes up mend it', async () => {
    await script(
      host,
      `create web; begin web; hook start-host web --publish 8080:80
      ip netns add pod; cni ADD pod '${cniOnNetwork(8081)}'
      ip netns add own; cni ADD own '${cniOnBridge()}' /opt/cni/bin/nethooks-bridge
      ip netns add ptp; nethooks attach ptp --mode ptp --address 10.8.0.2/24`,
    );
    const before = await sh(host, TABLE);
    await sh(host, DELETED);
    expect(await sh(host, 'nethooks plan || echo "ended with $?"')).toMatch(/table inet nethooks[\s\S]*ended with 3/);
    expect(await sh(host, 'nethooks status || true')).toMatch(/table inet nethooks|nethooks up/);
    expect(await sh(host, 'nethooks up')).not.toMatch(/nothing to change/);
    expect(lines(await sh(host, TABLE))).toEqual(lines(before));
    await sh(host, `${DELETED}; IFACE=eth0 MODE=start ADDRFAM=inet METHOD=static /etc/network/if-up.d/nethooks`);
    expect(lines(await sh(host, TABLE))).toEqual(lines(before));
    expect(await sh(host, 'nethooks up')).toMatch(/nothing to change/);
  });

  it('where only attach and CNI want it', async () => {
    await start();
    await script(
      host,
      `ip netns add ptp; nethooks attach ptp --mode ptp --address 10.8.0.2/24; nethooks down
      ip netns add own; cni ADD own '${cniOnBridge()}' /opt/cni/bin/nethooks-bridge`,
    );
    expect(await sh(host, 'cat /proc/sys/net/ipv4/ip_forward')).toBe('1\n');
    const before = await sh(host, TABLE);
    expect(before).toContain('10.8.0.2');
    await sh(host, `${DELETED}; nethooks up`);
    const after = await sh(host, TABLE);
    for (const element of ['10.8.0.2', await addressOf('own')]) expect(after).toContain(element);
  });
});

describeLab('one name', () => {
  beforeAll(start);
  const whoIs = async (name: string) =>
    (
      await sh(host, `cat /run/nethooks/names/*/* | awk '{ for (i = 2; i <= NF; i++) if ($i == "${name}") print $1 }'`)
    ).trim();

  it('of attach is not given to an LXC container that comes later, which is told so', async () => {
    await script(host, 'ip netns add first; nethooks attach first --name web; create web; begin web');
    await script(host, 'hook start-host web');
    expect(await hookLog(host)).toMatch(/start-host web: .*web\.lxc is held by first/);
    expect(await whoIs('web')).toBe(await addressOf('first'));
    await script(host, 'end web; hook post-stop web; nethooks detach first; ip netns delete first');
    expect(await whoIs('web')).toBe('');
  });

  it('of an LXC container is not given to attach, which is told so', async () => {
    await script(host, 'create app; begin app; hook start-host app; ip netns add second');
    const said = await script(host, 'nethooks attach second --name app 2>&1');
    expect(said).toMatch(/app\.lxc is held by container app/);
    expect(await whoIs('app')).toBe(await addressOf('app'));
  });
});

describeLab('a container below another path', () => {
  beforeAll(start);

  it('keeps its address while it is stopped, however old; so long as its file system is not mounted, too; and gives it back when it is destroyed', async () => {
    const P = 'export lxcpath=/srv/lxc;';
    await script(
      host,
      `${P} mkdir -p /srv/lxc; mount -t tmpfs none /srv/lxc; create far; begin far; hook start-host far`,
    );
    const address = await addressOf('far');
    const file = `/var/lib/cni/networks/br0/${address}`;
    const held = async () => (await sh(host, `[ -e ${file} ] && echo held || echo free`)).trim();
    await script(host, `${P} end far; hook post-stop far; touch -d '2 hours ago' ${file}; nethooks gc; nethooks up`);
    expect(await held()).toBe('held');
    await script(host, `cp -a /srv/lxc /srv/saved; umount /srv/lxc; nethooks gc; nethooks up`);
    expect(await held()).toBe('held');
    await script(
      host,
      `mount -t tmpfs none /srv/lxc; ${P} cp -a /srv/saved/. /srv/lxc; begin far; hook start-host far`,
    );
    expect(await addressOf('far')).toBe(address);
    await script(host, `${P} end far; hook post-stop far; rm -r /srv/lxc/far; nethooks gc`);
    expect(await held()).toBe('free');
  });
});

describeLab('what nobody can give back any more', () => {
  beforeAll(start);
  const held = (address: string) =>
    sh(host, `[ -e /var/lib/cni/networks/br0/${address} ] && echo held || echo free`).then((text) => text.trim());

  it('goes at boot: addresses of CNI containers of an earlier one', async () => {
    await script(host, `ip netns add pod; cni ADD pod '${cniOnNetwork()}'`);
    const address = await addressOf('pod');
    await sh(
      host,
      `nethooks down; ip netns delete pod
      rm -r /run/nethooks; touch -d '1 year ago' /var/lib/cni/networks/br0/${address}; nethooks up`,
    );
    expect(await held(address)).toBe('free');
  });

  it('goes before anybody is refused: a pool of addresses, a host port', async () => {
    await sh(host, `sed -i 's/^reserve.*/reserve = 10.0.0.2-10.0.0.2/' /etc/nethooks/nethooks.ini; nethooks up`);
    await script(host, `ip netns add one; cni ADD one '${cniOnNetwork(8090)}'; ip netns delete one`);
    await script(host, `ip netns add two; cni ADD two '${cniOnNetwork(8090)}'`);
    expect(await addressOf('two')).toBe('10.0.0.2');
  });
});

describeLab('an upgrade', () => {
  beforeAll(start);

  it('takes over containers that run: names, addresses, ports, rules; and what they leave when they end is what they leave today', async () => {
    // The first port that is ever published leaves a setting of the bridge.
    await script(
      host,
      'ip netns add first; nethooks attach first --publish 8080:80; nethooks detach first; ip netns delete first',
    );
    const empty = await hostState(host);
    await script(
      host,
      `create web; begin web; hook start-host web --publish 8080:80
      ip netns add pod; cni ADD pod '${cniOnNetwork(8081)}'
      ip netns add ptp; nethooks attach ptp --mode ptp --address 10.8.0.2/24`,
    );
    const before = await hostState(host);
    await script(host, AS_AN_EARLIER_VERSION_LEFT_IT);
    expect(await sh(host, 'nethooks up')).not.toMatch(/nothing to change/);
    expect(difference(before, await hostState(host))).toEqual([]);
    expect(await sh(host, 'nethooks gc; nethooks plan')).toBe('nothing is left behind\nnothing would change\n');
    expect(await sh(host, 'nethooks port web')).toBe('80/tcp -> 0.0.0.0:8080\n');
    expect(await sh(host, 'nethooks status')).toMatch(/web = web\.lxc {2}pid/);
    await script(
      host,
      `end web; hook post-stop web; hook destroy web; rm -r /var/lib/lxc/web
      cni DEL pod '${cniOnNetwork(8081)}'; nethooks detach ptp`,
    );
    expect(difference(empty, await hostState(host))).toEqual([]);
  });
});

/** Version 0.1.0 before the records were one: its files for `web`, `pod` and `ptp`, its registers, and its second table. */
const AS_AN_EARLIER_VERSION_LEFT_IT = `
cd /run/nethooks
address() { ip -n $1 -4 -o address show eth0 | sed 's/.*inet //; s#/.*##'; }
mac() { ip netns exec $1 cat /sys/class/net/eth0/address; }
namespace() { stat -L -c %d:%i /run/netns/$1; }
read -r pid </srv/web.pid
published() { # ADDRESS BRIDGE_PORT PORT
  echo '{"network":"br0","address":"'$1'","port":'$2',"isolated":[],"publish":[{"protocol":"tcp","hostAddress":null,"hostPort":'$3',"containerPort":80}],"links":[],"exposed":[]}'
}
mkdir -p containers cni/attachments/ours cni/attachments/attach cni/masquerade
echo '{"name":"web","pid":'$pid',"started":"'$(cut -d ' ' -f 22 /proc/$pid/stat)'","attachments":[{"network":"br0","domain":"lxc",
  "ifname":"eth0","nic":0,"address":"'$(address web)'","prefix":22,"gateway":"10.0.0.1","mac":"'$(mac web)'","setMac":false}],
  "words":[],"configFile":"/var/lib/lxc/web/config","policy":'$(published $(address web) 1 8080)'}' >containers/web.json
connection() { # NETWORK ID KIND STORE_NETWORK GATEWAY HOST_LINK POLICY MASQUERADE NAMES
  echo '{"network":"'$1'","id":"'$2'","ifname":"eth0","kind":"'$3'","netns":"/run/netns/'\${2##*.}'","namespace":"'$(namespace \${2##*.})'",
    "hostLink":"'$6'","store":{"dataDir":"/var/lib/cni/networks","network":"'$4'"},"ipam":null,"masquerade":['$8'],"policy":'$7',"names":'$9',
    "result":{"interfaces":[{"name":"eth0","mac":"'$(mac \${2##*.})'","sandbox":"/run/netns/'\${2##*.}'"}],
    "ips":[{"address":"'$(address \${2##*.})'/22","gateway":"'$5'","interface":0}],"routes":[]}}' >cni/attachments/$1/$2:eth0.json
}
host_link() { ip -o link | sed -n "s/^[0-9]*: \\([^@]*\\)@.* link-netns $1.*/\\1/p"; }
connection ours pod network br0 10.0.0.1 $(host_link pod) "$(published $(address pod) null 8081)" '' \
  '{"files":["/run/nethooks/names/lxc/'$(ls names/lxc | grep pod)'"],"networks":["br0"]}'
connection attach attached.netns.ptp ptp attach 10.8.0.1 $(host_link ptp) null '"10.8.0.2/24"' '{"files":[],"networks":[]}'
rm -r attachments ports macs masquerade claims
mkdir -p claims/lxc ports
printf web >claims/lxc/web
printf pod >claims/lxc/pod
printf web >ports/tcp-8080-0.0.0.0
printf ours:pod:eth0 >ports/tcp-8081-0.0.0.0
printf attach:attached.netns.ptp:eth0 >cni/masquerade/10.8.0.2
nft 'delete table inet nethooks; table inet nethooks-cni { set masqueraded { type ipv4_addr; elements = { 10.8.0.2 } }; }'
`;

/** What somebody's full disk, a snapshot or an editor leaves of a file. */
const BROKEN: Record<string, string> = {
  empty: '',
  cut: '{"interfaces": [{"dri',
  null: 'null',
  'a list': '[]',
  'of other fields': '{"interfaces": "none", "owner": 3, "attachments": {}, "networks": 7}',
};
const FILES = [
  '/var/lib/nethooks/containers/web.json',
  '/run/nethooks/attachments/lxc/web.json',
  '/run/nethooks/attachments/cni/ours/pod:eth0.json',
  '/run/nethooks/attachments/attach/attached.netns.ns:eth0.json',
  '/run/nethooks/ports/tcp-8080/0.0.0.0',
  '/run/nethooks/claims/lxc/web',
  '/run/nethooks/record.json',
  '/run/nethooks/config.json',
  '/var/lib/cni/networks/br0/last_reserved_ip.0',
  '/run/nethooks/names/lxc/web',
];

describeLab('a broken file', () => {
  beforeAll(start);
  beforeEach(async () => {
    await script(
      host,
      `create web; begin web; hook start-host web --publish 8080:80
      ip netns add pod; cni ADD pod '${cniOnNetwork(8081)}'
      ip netns add ns; nethooks attach ns --publish 8082:80`,
    );
  });
  afterEach(() =>
    script(
      host,
      `end web; hook post-stop web; hook destroy web; rm -r /var/lib/lxc/web
      cni DEL pod '${cniOnNetwork(8081)}'; nethooks detach ns; ip netns delete pod; ip netns delete ns; nethooks gc`,
    ),
  );

  describe.each(FILES)('%s', (path) => {
    it('refuses nobody, and all can be taken back', async () => {
      expect(await sh(host, `[ -e ${path} ] && echo there`)).toBe('there\n');
      const address = await addressOf('web');
      for (const [what, text] of Object.entries(BROKEN)) {
        await writeFile(host, path, text, '644');
        const said = await script(
          host,
          `exec 2>&1
          check() { # 3: \`up\` has something to bring back
            "$@" >/srv/said 2>&1 || { code=$?; [ $code = 3 ] || { echo "$* ended with $code:"; cat /srv/said; }; }
            ! grep -i internal /srv/said
          }
          check nethooks status
          check nethooks plan
          check nethooks up
          create new; begin new
          check hook start-host new --publish 8083:80
          end new
          check hook post-stop new
          check hook destroy new
          rm -r /var/lib/lxc/new
          end web
          check hook post-stop web
          begin web
          check hook start-host web --publish 8080:80
          ip netns add other
          check cni ADD other '${cniOnNetwork()}'
          check cni DEL other '${cniOnNetwork()}'
          ip netns delete other
          check nethooks gc
          check [ -e /var/lib/cni/networks/br0/${address} ]`,
        );
        expect(said, what).toBe('');
      }
      const server = await serve(host, 'web', ['0.0.0.0:80']);
      expect(await ask(host, 'internet', ['tcp 192.0.2.2:8080'])).not.toEqual({ 'tcp 192.0.2.2:8080': 'refused' });
      server.kill();
    });
  });
});

describeLab('a container starts on a network that has lost something', () => {
  beforeAll(start);

  it.each([
    ['its dnsmasq', 'kill -9 "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"; sleep 0.1'],
    ["the bridge's address, and all rules", 'ip address flush dev br0; nft flush ruleset'],
    ['its bridge, made again by somebody else', 'ip link delete br0; ip link add br0 type bridge; ip link set br0 up'],
  ])('%s: it comes back', async (_, taken) => {
    await sh(host, taken);
    await script(host, 'create web; begin web; hook start-host web --publish 8080:80');
    expect(await sh(host, 'nethooks plan || true')).toBe('nothing would change\n');
    expect(await sh(host, 'busybox nslookup web.lxc 10.0.0.1')).toContain('10.0.0.2');
    await script(host, 'hook post-stop web; end web');
  });

  it('not while it is paused, nor where the networks are down', async () => {
    await sh(host, 'nethooks pause; kill -9 "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"; sleep 0.1');
    await script(host, 'begin web; hook start-host web; hook post-stop web; end web');
    expect((await host.run(['nethooks', 'plan'])).code).toBe(3);
    await sh(host, 'nethooks resume; nethooks down');
    await sh(host, 'ip link set br0 up'); // the last row's, and not ours to delete
    await expect(script(host, 'begin web; hook start-host web')).rejects.toThrow('`nethooks up` brings them back');
    expect(await sh(host, 'ls /run/nethooks/record.json 2>&1 || true')).toContain('No such file');
    await script(host, 'end web');
  });
});
