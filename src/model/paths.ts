/** Where nethooks keeps things on a host (docs/architecture.md has the table). */
export const CONFIG_DIR = '/etc/nethooks';
/** The admin's own rules for what is forwarded to and from containers. */
export const ADMIN_RULES = '/etc/nethooks/forward.nft';
export const CONFIG_FILE = `${CONFIG_DIR}/nethooks.ini`;
const FORMATS = ['ini', 'json', 'yaml'];
/** Where a configuration may be; the first that is there counts. */
export const CONFIG_FILES = FORMATS.map((extension) => `${CONFIG_DIR}/nethooks.${extension}`);
export const RUN = '/run/nethooks';
/** The resolved configuration, for hooks. */
export const CONFIG_CACHE = `${RUN}/config.json`;
export const STATE = '/var/lib/nethooks';
/** A copy of the last configuration that was brought up, in the format that it had: there is one of them. */
export const LAST_GOOD_FILES = FORMATS.map((extension) => `${STATE}/last-good.${extension}`);
/** A file for each hook that works now; in `limits` how many may, and how long (s) one may do nothing (hooks/lxc/guard). */
export const SLOTS = `${RUN}/slots`;
export const HOOK_LIMITS = `${SLOTS}/limits`;
/** Exists where dnsmasq is older than 2.87 and does not notice hosts files that go: hooks have it reload then. */
export const DNSMASQ_RELOADS = `${RUN}/dnsmasq-reloads`;
/** What `nethooks setup` made and replaced (model/manifest.ts), and copies of what it replaced, each below its own path. */
export const INSTALL_STATE = `${STATE}/install`;
export const MANIFEST = `${INSTALL_STATE}/manifest`;
export const BACKUPS = `${INSTALL_STATE}/backup`;
export const LOG_DIR = '/var/log/nethooks';
export const UPSTREAMS = `${RUN}/upstreams`;
export const LXC_DEFAULT_CONF = '/etc/lxc/default.conf';
export const SYSCTL_FILE = '/etc/sysctl.d/60-nethooks.conf';
/** firewalld's, which go with us: a zone for our bridges, a policy into it, and rules in iptables' words. */
export const FIREWALLD_ZONE = '/etc/firewalld/zones/nethooks.xml';
export const FIREWALLD_POLICY = '/etc/firewalld/policies/nethooks-in.xml';
export const FIREWALLD_DIRECT = '/etc/firewalld/direct.xml';
/** Of this host's own dnsmasq, which Debian's package runs; dnsmasq reads every file in there. */
export const SYSTEM_DNSMASQ = '/etc/dnsmasq.d/nethooks';
/** systemd's and NetworkManager's, which go with us: whose our interfaces are. */
export const NETWORKD_NETWORK = '/etc/systemd/network/05-nethooks.network';
export const NETWORKD_LINK = '/etc/systemd/network/05-nethooks.link';
export const NETWORK_MANAGER = '/etc/NetworkManager/conf.d/nethooks.conf';
export const RESOLV_CONF = '/etc/resolv.conf';
/** What was found of lxc-net when it was taken over (model/lxc-net.ts). */
export const LXC_NET_RECORD = `${STATE}/lxc-net.json`;
/** The leases of lxc-net's own dnsmasq. */
export const lxcNetLeases = (bridge: string): string => `/var/lib/misc/dnsmasq.${bridge}.leases`;

/** The directory of a network's dnsmasq: its configuration, pid and reservations. */
const dnsmasqDir = (network: string): string => `${RUN}/dnsmasq/${network}`;
export const dnsmasqConf = (network: string): string => `${dnsmasqDir(network)}/dnsmasq.conf`;
export const dnsmasqPid = (network: string): string => `${dnsmasqDir(network)}/dnsmasq.pid`;
/** The ifindex of the bridge that it was started on: it goes on to wait for DHCP on that one, whatever comes to have its name. */
export const dnsmasqBridge = (network: string): string => `${dnsmasqDir(network)}/bridge`;
/** One file per container and network: the address that its MAC gets over DHCP. */
export const dhcpHostsDir = (network: string): string => `${dnsmasqDir(network)}/dhcp-hosts`;
/** One file per container and network that its own DHCP client is told something else (model/dhcp-options.ts). */
export const dhcpOptionsDir = (network: string): string => `${dnsmasqDir(network)}/dhcp-options`;
/** By which dnsmasq knows whom files in dhcp-options are about; of all networks. */
export const MAC_TAGS = `${RUN}/mac-tags.conf`;
/** The MAC that dnsmasq has for an address: it forgets none before it reads all files anew. */
export const toldMac = (network: string, address: string): string => `${dnsmasqDir(network)}/told/${address}`;
/** Beside it, the numbers of the options that it has for a MAC: it forgets none of these, either. */
export const toldOptions = (network: string, mac: string): string => `${dnsmasqDir(network)}/told/${mac}`;
/** One hosts file per running container; networks of one domain share it, so that each answers for all of them. */
export const namesDir = (domain: string): string => `${RUN}/names/${domain}`;
export const leasesFile = (network: string): string => `${STATE}/${network}.leases`;
/** The MAC that has a leased address, and the name that it gave itself: dnsmasq tells us but once. */
export const leasedName = (address: string): string => `${STATE}/dhcp-names/${address}`;
/** An empty file for each bridge whose route_localnet we set. */
export const localnetNote = (bridge: string): string => `${RUN}/localnet/${bridge}`;
/** What a network checks of what its containers send, where it does (antispoof.ts). */
export const antispoofNote = (network: string): string => `${RUN}/antispoof/${network}`;
/** A file per attachment, by its id (model/attachment.ts): `lxc/NAME`, `cni/NETWORK/ID:IFNAME`, `attach/ID:IFNAME`, `dhcp/ADDRESS`. */
export const ATTACHMENTS = `${RUN}/attachments`;
/** Why the last start of a container was refused (store/refusals.ts). */
export const refusalFile = (container: string): string => `${RUN}/refused/${container}`;
/** What the command that started a container says against its configuration (store/overrides.ts). */
export const overridesFile = (container: string): string => `${RUN}/overrides/${container}`;
/** What a container keeps from one start to the next. */
export const keptRecord = (container: string): string => `${STATE}/containers/${container}.json`;
/** What `nethooks pause` leaves, and what the checks know about repairs that did not hold (model/healing.ts). */
export const PAUSE = `${RUN}/paused`;
export const HEALING = `${RUN}/healing.json`;
/** By what a check beside many containers knows that nothing has changed (src/host/unchanged.ts). */
export const LOOKED = `${RUN}/looked`;
/** Who links to a container, or is on its network (store/links.ts). */
export const linkNote = (child: string, parent: string): string => `${RUN}/links/${child}/${parent}`;
export const HOST_RECORD = `${RUN}/record.json`;
export const HOOK_LOG = `${LOG_DIR}/hooks.log`;
/** What the admin, or `nethooks configure`, says about a container. */
export const containerFile = (container: string): string => `${CONFIG_DIR}/containers/${container}.ini`;
/** The same after validation, for hooks. */
export const optionsCache = (container: string): string => `${RUN}/options/${container}.json`;
/** Who has which name, MAC or masqueraded address: a directory per register (store/register.ts). */
export const registerDir = (register: string): string => `${RUN}/${register}`;
/** The environment of a container's links, which its LXC configuration includes: it must be there before the container starts. */
export const linkEnvironmentPath = (container: string): string => `${STATE}/env/${container}.conf`;
/** A copy of a container's LXC configuration as it was before `nethooks configure`. */
export const lxcConfigBackup = (configFile: string): string => `${configFile}${BACKUP}`;
/** Whether a file is such a copy. */
export const isLxcConfigBackup = (path: string): boolean => path.endsWith(BACKUP);
const BACKUP = '.nethooks-backup';
/** Which container was copied from which, by the pid of the process that did it: if it then destroys the original, that was a rename. */
export const copyNote = (pid: number | string): string => `${RUN}/copies/${pid}`;
/** What a file of an installation is called until it is complete: run-parts(8), dhclient-script(8), systemd and CNI skip that name. */
export const unfinished = (path: string): string => `${path}.new`;
