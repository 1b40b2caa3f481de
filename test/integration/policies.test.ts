import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Link, Policy, Published } from '../../src/model/policy.ts';
import { describeLab, eventually, installedHost, must, sh, writeFile } from '../lab/lab.ts';
import { policyDriver } from '../lab/policy.ts';
import { ask, type Conversation, serve, talk } from '../lab/traffic.ts';

const driver = policyDriver();
afterAll(() => driver.remove());

const CONFIG = '[network.br0]\naddress = 10.0.0.1/22\nicc = false\n';
const CONTAINERS = `
for i in 2 3; do
  ip netns add c$i
  ip link add veth-c$i type veth peer name eth0 netns c$i
  ip link set veth-c$i master br0 up
  ip -n c$i link set lo up
  ip -n c$i link set eth0 up
  ip -n c$i address add 10.0.0.$i/22 dev eth0
  ip -n c$i route add default via 10.0.0.1
done
`;

const publish = (hostPort: number, protocol: Published['protocol'] = 'tcp'): Published => ({
  protocol,
  hostAddress: null,
  hostPort,
  containerPort: 80,
});
const policy = (rest: Partial<Policy>): Policy => ({
  network: 'br0',
  address: '10.0.0.2',
  port: null,
  isolated: ['br0'],
  publish: [],
  links: [],
  exposed: [],
  masquerade: [],
  ...rest,
});
const link = (from: string, to: string, ...ports: number[]): Link => ({
  container: to,
  alias: to,
  from,
  to,
  ports: ports.map((port) => ({ protocol: 'tcp', port })),
});

let host: ThrowawayHost;
/** The record of a container that runs as the process `pid`. */
const record = (name: string, pid: number, own: Policy) =>
  writeFile(
    host,
    `/run/nethooks/attachments/lxc/${name}.json`,
    JSON.stringify({
      owner: { kind: 'lxc', name },
      state: 'attached',
      life: { pid, started: null },
      interfaces: [],
      names: { own: [], linked: [] },
      links: [],
      policy: own,
    }),
  );
const nft = (...words: string[]) => must(host, ['nft', ...words]);
const rules = async () =>
  (await nft('-t', 'list', 'ruleset')).split('\n').filter((line) => /^\t\t(?!type|flags|elements)/.test(line));
const tracked = (...filter: string[]) => must(host, ['conntrack', '-L', '-f', 'ipv4', ...filter]);
const goOn = (conversations: Conversation[]) => Promise.all(conversations.map((conversation) => conversation.goesOn()));

describeLab('policies on a running host', () => {
  beforeAll(async () => {
    host = await installedHost({ config: CONFIG });
    await sh(host, CONTAINERS);
    for (const name of ['c2', 'c3']) await serve(host, name, ['0.0.0.0:80', '0.0.0.0:81']);
  });

  describe('change', () => {
    it('and what stays goes on, what goes ends, with its connections', async () => {
      const before = policy({
        publish: [publish(8080), publish(8083)],
        links: [link('10.0.0.2', '10.0.0.3', 80, 81)],
      });
      await driver.apply(host, null, before);
      const staying = [talk(host, 'internet', 'tcp 192.0.2.2:8080'), talk(host, 'c2', 'tcp 10.0.0.3:80')];
      const going = [talk(host, 'internet', 'tcp 192.0.2.2:8083'), talk(host, 'c2', 'tcp 10.0.0.3:81')];
      for (const conversation of [...staying, ...going])
        await eventually(() => expect(conversation.answers()).toBeGreaterThan(1));
      const after = policy({ publish: [publish(8080), publish(8084)], links: [link('10.0.0.2', '10.0.0.3', 80)] });
      expect(await driver.apply(host, before, after)).toBe('');
      expect(await goOn([...staying, ...going])).toEqual([true, true, false, false]);
      expect(await tracked('-p', 'tcp', '--orig-port-dst', '8083')).not.toContain('src=10.0.0.2 ');
      expect(await ask(host, 'internet', ['tcp 192.0.2.2:8083', 'tcp 192.0.2.2:8084'])).toEqual({
        'tcp 192.0.2.2:8083': 'refused',
        'tcp 192.0.2.2:8084': '80 192.0.2.1',
      });
      // And the container that stops: everything ends.
      await driver.apply(host, after, null);
      expect(await goOn(staying)).toEqual([false, false]);
      expect(await tracked('--reply-src', '10.0.0.2')).toBe('');
      expect(await tracked('-p', 'tcp', '--orig-src', '10.0.0.2')).not.toContain('ASSURED');
    });

    it('and UDP clients that were there first reach the container', async () => {
      const client = talk(host, 'internet', 'udp 192.0.2.2:8085');
      await eventually(async () => expect(await tracked('-p', 'udp', '--orig-port-dst', '8085')).toContain('8085'));
      const wanted = policy({ publish: [publish(8085, 'udp')] });
      await driver.apply(host, null, wanted);
      await eventually(() => expect(client.answers()).toBeGreaterThan(1));
      await driver.apply(host, wanted, null);
      expect(await client.goesOn()).toBe(false);
    });

    it('and a port whose target changes leads there', async () => {
      const [to80, to81] = [80, 81].map((containerPort) => policy({ publish: [{ ...publish(8086), containerPort }] }));
      await driver.apply(host, null, to80 as Policy);
      await driver.apply(host, to80 as Policy, to81 as Policy);
      expect(await ask(host, 'internet', ['tcp 192.0.2.2:8086'])).toEqual({ 'tcp 192.0.2.2:8086': '81 192.0.2.1' });
      await driver.apply(host, to81 as Policy, null);
    });

    it('and a port that the table still leads elsewhere leads to whoever has reserved it', async () => {
      const first = policy({ publish: [publish(8087)] });
      const second = policy({ address: '10.0.0.3', publish: [publish(8088), publish(8087)] });
      await driver.apply(host, null, first);
      await driver.apply(host, null, second);
      expect(await nft('list', 'map', 'inet', 'nethooks', 'published')).toContain('tcp . 8087 : 10.0.0.3 . 80');
      await driver.apply(host, second, null);
    });
  });

  it('a thousand published ports and a thousand links are no rule more', async () => {
    const before = await rules();
    const many = policy({
      publish: Array.from({ length: 1000 }, (_, index) => ({ ...publish(20_000 + index), containerPort: 1 + index })),
      links: Array.from({ length: 1000 }, (_, index) =>
        link('10.0.0.2', `10.0.${1 + (index >> 8)}.${index & 255}`, 80),
      ),
    });
    await driver.apply(host, null, many);
    expect(await rules()).toEqual(before);
    const listed = await nft('list', 'table', 'inet', 'nethooks');
    expect(listed.match(/10\.0\.0\.2 \. \d+[,\s]/g)?.length).toBeGreaterThanOrEqual(1000);
    await record('many', 1, many);
    await must(host, ['nethooks', 'up']); // notes of its ports and links
    expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
    await must(host, ['rm', '/run/nethooks/attachments/lxc/many.json']);
    await driver.apply(host, many, null);
    expect(await nft('list', 'table', 'inet', 'nethooks')).not.toContain('10.0.0.2');
  });

  describe('after a flush', () => {
    const web = policy({ publish: [publish(8080)] });

    it('`nethooks up` brings back what running containers have, and nothing of those that are gone', async () => {
      await record('web', 1, web);
      await record('dead', 4_000_000, policy({ address: '10.0.0.9', publish: [publish(8089)] }));
      await driver.apply(host, null, web);
      await nft('flush', 'ruleset');
      expect((await host.run(['nethooks', 'plan'])).code).toBe(3);
      await must(host, ['nethooks', 'up']);
      expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
      expect(await ask(host, 'internet', ['tcp 192.0.2.2:8080', 'tcp 192.0.2.2:8089'])).toEqual({
        'tcp 192.0.2.2:8080': '80 192.0.2.1',
        'tcp 192.0.2.2:8089': 'refused',
      });
    });

    it('a policy is refused while the rules are gone, and one that goes is no error', async () => {
      await nft('flush', 'ruleset');
      const more = policy({ publish: [publish(8080), publish(8081)] });
      await expect(driver.apply(host, web, more)).rejects.toThrow('`nethooks up` brings them back');
      await expect(driver.apply(host, null, policy({}))).rejects.toThrow('`nethooks up` brings them back');
      await driver.apply(host, web, null);
      await must(host, ['nethooks', 'up']);
      await driver.apply(host, web, null);
      await driver.apply(host, policy({ publish: [publish(8080), publish(8081)] }), web); // one there, one not
      expect(await ask(host, 'host', ['tcp 127.0.0.1:8080'])).toEqual({ 'tcp 127.0.0.1:8080': '80 10.0.0.1' });
      await driver.apply(host, web, null);
      await sh(host, 'rm /run/nethooks/attachments/lxc/*.json');
    });
  });

  it('nobody starts on an isolated network whose isolation is not in force', async () => {
    await sh(host, 'ip link set br0 type bridge nf_call_iptables 0; sysctl -qw net.bridge.bridge-nf-call-iptables=0');
    await expect(driver.apply(host, null, policy({}))).rejects.toThrow('network br0 has icc = false, but its bridge');
    expect((await host.run(['nethooks', 'plan'])).code).toBe(3);
    await must(host, ['nethooks', 'up']);
    await driver.apply(host, null, policy({}));
    await nft('delete', 'element', 'inet', 'nethooks', 'isolated', '{ "br0" }');
    await expect(driver.apply(host, null, policy({}))).rejects.toThrow('No such file');
    await must(host, ['nethooks', 'up']);
    await driver.apply(host, null, policy({}));
  });

  it('containers stay apart when the network goes down under them', async () => {
    const web = policy({
      publish: [publish(8080)],
      port: Number(await must(host, ['cat', '/sys/class/net/veth-c2/ifindex'])),
    });
    await record('web', 1, web);
    await driver.apply(host, null, web);
    await must(host, ['nethooks', 'down']);
    expect(await must(host, ['nethooks', 'down'])).toBe('nothing to change\n');
    expect(await ask(host, 'c2', ['tcp 10.0.0.3:80'])).toEqual({ 'tcp 10.0.0.3:80': 'silence' });
    expect(await ask(host, 'host', ['tcp 10.0.0.3:80'])).toEqual({ 'tcp 10.0.0.3:80': '80 10.0.0.1' });
    // Up again, with all that published ports need under a container that runs: for itself too, and for 127.0.0.1.
    await sh(host, 'ip link set veth-c2 type bridge_slave hairpin off');
    await must(host, ['nethooks', 'up']);
    expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
    expect(await ask(host, 'host', ['tcp 127.0.0.1:8080'])).toEqual({ 'tcp 127.0.0.1:8080': '80 10.0.0.1' });
    expect(await ask(host, 'c2', ['tcp 192.0.2.2:8080'])).toEqual({ 'tcp 192.0.2.2:8080': '80 10.0.0.1' });
    await driver.apply(host, web, null);
    await sh(host, 'rm /run/nethooks/attachments/lxc/*.json');
  });

  it("published ports answer where somebody's firewall drops what is forwarded", async () => {
    await must(host, ['iptables', '-P', 'FORWARD', 'DROP']);
    await must(host, ['nethooks', 'up']);
    const web = policy({ publish: [publish(8080)] });
    await driver.apply(host, null, web);
    expect(await ask(host, 'internet', ['tcp 192.0.2.2:8080'])).toEqual({ 'tcp 192.0.2.2:8080': '80 192.0.2.1' });
    expect(await ask(host, 'c3', ['tcp 192.0.2.2:8080', 'tcp 10.0.0.2:80'])).toEqual({
      'tcp 192.0.2.2:8080': '80 10.0.0.1',
      'tcp 10.0.0.2:80': 'silence',
    });
    await driver.apply(host, web, null);
    await must(host, ['iptables', '-P', 'FORWARD', 'ACCEPT']);
    await must(host, ['nethooks', 'up']);
  });

  it('isolated containers do not meet over IPv6 either', async () => {
    const address = (await sh(host, 'ip -n c3 -6 -br address show dev eth0 scope link')).split(/\s+/)[2]?.split('/')[0];
    const ping = ['ip', 'netns', 'exec', 'c2', 'ping', '-c', '1', '-W', '1', `${address}%eth0`];
    expect((await host.run(ping)).code).not.toBe(0);
    await sh(host, "sed -i 's/icc = false/icc = true/' /etc/nethooks/nethooks.ini; nethooks up");
    expect((await host.run(ping)).code).toBe(0);
    expect((await ask(host, 'c2', ['tcp 10.0.0.3:80']))['tcp 10.0.0.3:80']).toBe('80 10.0.0.2');
  });

  it('a bridge that was here before is left as it was', async () => {
    await sh(host, 'ip link add br7 type bridge; ip link set br7 up');
    const settings = () =>
      sh(host, 'cat /proc/sys/net/ipv4/conf/br7/route_localnet /sys/class/net/br7/bridge/nf_call_ip*tables');
    const before = await settings();
    await sh(
      host,
      'printf "[network.br7]\\naddress = 10.7.0.1/24\\nicc = false\\n" >>/etc/nethooks/nethooks.ini; nethooks up',
    );
    const guest = policy({ network: 'br7', address: '10.7.0.2', isolated: ['br7'], publish: [publish(8077)] });
    await driver.apply(host, null, guest);
    expect(await settings()).toBe('1\n1\n1\n');
    await driver.apply(host, guest, null);
    await sh(host, 'nethooks down br7');
    expect(await settings()).toBe(before);
    expect((await nft('list', 'set', 'inet', 'nethooks', 'isolated')).includes('br7')).toBe(false);
  });
});
