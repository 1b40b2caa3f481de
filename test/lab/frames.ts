/** Frames as nobody's IP stack would send them: with any MAC, any address, any tag. Each bears a name, by which it is known where it arrives. */
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, sh } from './host.ts';

export interface FrameSpec {
  /** What it is called in the answer. */
  name: string;
  /** Of the frame; default: the sender's own. */
  mac?: string;
  /** Whom it is sent to; default: everybody. */
  to?: string;
  /** `arp`: a reply that says who has `ip`; `dhcp`: UDP from port 68 to 67; `other`: a protocol that nobody knows. */
  kind?: 'udp' | 'dhcp' | 'arp' | 'ipv6' | 'other';
  /** The sender's address. */
  ip?: string;
  /** What ARP says is the MAC of `ip`; default: `mac`. */
  claims?: string;
  /** IEEE 802.1Q. */
  vlan?: number;
}

const hex = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const octets = (address: string): Buffer => Buffer.from(address.split('.').map(Number));
const word = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

function checksum(header: Buffer): number {
  let sum = 0;
  for (let index = 0; index < header.length; index += 2) sum += header.readUInt16BE(index);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

function ipv4(source: string, [from, to]: [number, number], text: string): Buffer {
  const body = Buffer.concat([word(from), word(to), word(8 + text.length), word(0), Buffer.from(text)]);
  const header = Buffer.concat([
    Buffer.from([0x45, 0]),
    word(20 + body.length),
    Buffer.from([0, 0, 0, 0, 64, 17, 0, 0]),
    octets(source),
    octets('255.255.255.255'),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, body]);
}

/** UDP to a multicast address; the checksum is nobody's concern on the way. */
function ipv6(source: string, text: string): Buffer {
  const body = Buffer.concat([word(9), word(9), word(8 + text.length), word(0), Buffer.from(text)]);
  const address = (groups: string): Buffer => {
    const [head = '', tail = ''] = groups.split('::');
    const words = (part: string) => (part === '' ? [] : part.split(':').map((one) => word(Number.parseInt(one, 16))));
    const [first, last] = [words(head), words(tail)];
    return Buffer.concat([...first, Buffer.alloc(16 - 2 * (first.length + last.length)), ...last]);
  };
  return Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    word(body.length),
    Buffer.from([17, 64]),
    address(source),
    address('ff02::1'),
    body,
  ]);
}

function frame({ name, to = 'ff:ff:ff:ff:ff:ff', kind = 'udp', ip = '0.0.0.0', vlan, ...rest }: FrameSpec): Buffer {
  const { mac = '', claims = mac } = rest;
  const text = `<${name}>`;
  const arp = () => [Buffer.from('0001080006040002', 'hex'), hex(claims), octets(ip), hex(to), octets('10.0.0.99')];
  const [type, body] = {
    udp: () => [0x800, ipv4(ip, [9, 9], text)] as const,
    dhcp: () => [0x800, ipv4(ip, [68, 67], text)] as const,
    // Behind the packet, where Ethernet pads.
    arp: () => [0x806, Buffer.concat([...arp(), Buffer.from(text)])] as const,
    ipv6: () => [0x86dd, ipv6(ip, text)] as const,
    other: () => [0x88b5, Buffer.from(text.padEnd(46))] as const,
  }[kind]();
  const tag = vlan === undefined ? [] : [word(0x8100), word(vlan)];
  return Buffer.concat([hex(to), hex(mac), ...tag, word(type), body]);
}

/** perl is on every Debian. PF_PACKET, SOCK_RAW; struct sockaddr_ll (packet(7)). */
const SEND = `
socket(my $socket, 17, 3, 0) or die "socket: $!";
my ($index, @frames) = @ARGV;
for (@frames) {
  my $to = pack('SnlSCCa8', 17, 0, $index, 0, 0, 6, pack('H12', $_));
  defined send($socket, pack('H*', $_), 0, $to) or die "send: $!";
}
`;

/** Prints what bears a name, in the order in which it came. */
const RECEIVE = `
socket(my $socket, 17, 3, 0x0300) or die "socket: $!";
bind($socket, pack('SnlSCCa8', 17, 0x0003, $ARGV[0], 0, 0, 0, '')) or die "bind: $!";
$| = 1; print "ready\\n";
my ($bits, $left) = ('', 1);
while (1) {
  vec($bits = '', fileno($socket), 1) = 1;
  last unless select($bits, undef, undef, 0.6);
  my $from = recv($socket, my $data, 2000, 0);
  next if (unpack('SnlSCCa8', $from))[4] == 4; # its own (PACKET_OUTGOING)
  print "$1\\n" if $data =~ /<([^>]+)>/;
}
`;

/** The MAC of eth0 in a network namespace. */
export const macIn = async (host: ThrowawayHost, namespace: string): Promise<string> =>
  (await must(host, ['ip', 'netns', 'exec', namespace, 'cat', '/sys/class/net/eth0/address'])).trim();

/**
 * Sends frames from eth0 of one network namespace, and listens at eth0 of others, or at an interface of the host (`host:br0`).
 * @returns the names of those that arrived, by listener
 */
export async function sendFrames(
  host: ThrowawayHost,
  from: string,
  frames: readonly FrameSpec[],
  listeners: readonly string[],
): Promise<Record<string, string[]>> {
  const own = await macIn(host, from);
  const words = frames.map((one) => frame({ mac: own, ...one }).toString('hex'));
  const script = `
    where() { case $1 in host:*) echo;; *) echo ip netns exec $1;; esac; }
    device() { case $1 in host:*) echo \${1#host:};; *) echo eth0;; esac; }
    directory=$(mktemp -d); from=$1 send=$2 receive=$3 listeners=$4; shift 4
    for one in $listeners; do
      index=$($(where $one) cat /sys/class/net/$(device $one)/ifindex)
      $(where $one) perl -e "$receive" $index >$directory/$one &
      pids="\${pids-} $!"
      until grep -q ready $directory/$one; do sleep 0.02; done
    done
    ip netns exec $from perl -e "$send" $(ip netns exec $from cat /sys/class/net/eth0/ifindex) "$@"
    wait $pids
    for one in $listeners; do echo "$one:" $(grep -vx ready $directory/$one); done
  `;
  const said = await sh(host, script, [from, SEND, RECEIVE, listeners.join(' '), ...words]);
  return Object.fromEntries(
    said
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [, who = '', names = ''] = /^(.*): ?(.*)$/.exec(line) ?? [];
        return [who, names.split(' ').filter((name) => name !== '')];
      }),
  );
}
