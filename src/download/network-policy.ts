import { lookup as resolve } from 'node:dns';
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { UpstreamError } from './upstream-error.ts';

/** What the policy is made of: plain, so that a thread can be given it. */
export interface NetworkRules {
  /** The remote's own URL. */
  readonly remoteUrl: string;
  /** CIDR blocks, or single addresses, that an administrator permits. */
  readonly allowedNetworks: readonly string[];
  /** Where this Deckle listens. */
  readonly ownAddresses: readonly { readonly address: string; readonly port: number }[];
}

const blockList = (...networks: string[]): BlockList => {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
};

/** Refused whatever is listed: nothing there can be an upstream, or it hands out credentials of the machine. */
const NEVER: readonly (readonly [string, BlockList])[] = [
  ['an address of a cloud metadata service', blockList('169.254.169.254', '169.254.170.2', '100.100.100.200', 'fd00:ec2::254')],
  ['a multicast or reserved address', blockList('224.0.0.0/4', '240.0.0.0/4', 'ff00::/8')],
  ['an unspecified address', blockList('0.0.0.0/8', '::')],
];
const LINK_LOCAL = blockList('169.254.0.0/16', 'fe80::/10');
const LOOPBACK = blockList('127.0.0.0/8', '::1');
/** NAT64 and 6to4 carry an IPv4 address: bytes 12 to 15, and 2 to 5. */
const NAT64 = blockList('64:ff9b::/96');
const SIX_TO_FOUR = blockList('2002::/16');

const isIn = (list: BlockList, address: string): boolean => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');

/** The eight groups of an IPv6 address, by the URL parser's canonical form. */
function groupsOf(address: string): number[] {
  const canonical = new URL(`http://[${address.split('%', 1).join('')}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const parse = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const before = parse(head);
  if (tail === undefined) return before;
  const after = parse(tail);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** The IPv4 address inside a translated IPv6 address; undefined for any other. */
function embeddedIpv4(address: string): string | undefined {
  if (!isIPv6(address)) return undefined;
  const start = isIn(NAT64, address) ? 6 : isIn(SIX_TO_FOUR, address) ? 1 : undefined;
  if (start === undefined) return undefined;
  const [high = 0, low = 0] = groupsOf(address).slice(start, start + 2);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '');
const portOf = (url: URL): number => Number(url.port) || (url.protocol === 'https:' ? 443 : 80);

/**
 * Which addresses an upstream may be at (spec: security, rule 8), asked at every connection with the address that will be
 * connected to, so that neither a redirect, nor a token realm, nor a name that changes its address gets around it.
 */
export class NetworkPolicy {
  readonly #remoteHost: string;
  readonly #remotePort: number;
  readonly #allowed: BlockList;
  readonly #own: NetworkRules['ownAddresses'];
  /** The remote itself is on loopback, so its hops may be. */
  #loopback: boolean;
  /** Origins whose written-out address was permitted: what was once, is later. */
  readonly #permitted = new Set<string>();

  constructor(rules: NetworkRules) {
    const remote = new URL(rules.remoteUrl);
    this.#remoteHost = hostOf(remote);
    this.#remotePort = portOf(remote);
    this.#allowed = blockList(...rules.allowedNetworks);
    this.#own = rules.ownAddresses;
    this.#loopback = isIP(this.#remoteHost) !== 0 && isIn(LOOPBACK, this.#remoteHost);
  }

  /** Why `host`, at this address, must not be connected to; undefined where it may. */
  refusal(host: string, address: string, port: number): string | undefined {
    for (const [what, list] of NEVER) if (isIn(list, address)) return what;
    const embedded = embeddedIpv4(address);
    const inner = embedded === undefined ? undefined : this.refusal(host, embedded, port);
    if (inner !== undefined) return inner;
    const isRemote = host === this.#remoteHost;
    if (isIn(LOOPBACK, address)) {
      if (isRemote) this.#loopback = true;
      if (!this.#loopback && !isIn(this.#allowed, address)) return 'a loopback address';
    }
    if (isIn(LINK_LOCAL, address) && !isIn(this.#allowed, address)) return 'a link-local address';
    if (!(isRemote && port === this.#remotePort) && this.#isOwn(address, port)) return "this server's own address";
    return undefined;
  }

  /** Throws where the scheme is none of ours, or the URL names an address that is refused. Names are checked by `lookup`. */
  checkUrl(url: URL): void {
    if (this.#permitted.has(url.origin)) return;
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new UpstreamError('redirect', url.protocol, `Only http and https are followed, not ${url.protocol}`);
    }
    const host = hostOf(url);
    if (isIP(host) === 0) return;
    const reason = this.refusal(host, host, portOf(url));
    if (reason !== undefined) throw refused(host, host, portOf(url), reason);
    this.#permitted.add(url.origin);
  }

  /** `lookup` for net.connect and tls.connect to this port: resolves once, and gives out permitted addresses only. */
  lookup(port: number): LookupFunction {
    return (host, options, callback) => {
      resolve(host, { ...options, all: true }, (error, addresses) => {
        if (error) return callback(error, '');
        const permitted = addresses.filter(({ address }) => this.refusal(host, address, port) === undefined);
        const [first] = permitted;
        if (!first) {
          const address = addresses[0]?.address ?? 'no address';
          return callback(refused(host, address, port, this.refusal(host, address, port) ?? 'unknown'), '');
        }
        if (options.all) callback(null, permitted);
        else callback(null, first.address, first.family);
      });
    };
  }

  #isOwn(address: string, port: number): boolean {
    return this.#own.some((own) => {
      if (own.port !== port) return false;
      if (own.address !== '0.0.0.0' && own.address !== '::') return own.address === address;
      return (
        isIn(LOOPBACK, address) || Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === address))
      );
    });
  }
}

const refused = (host: string, address: string, port: number, reason: string): UpstreamError =>
  new UpstreamError(
    'forbidden-address',
    `${host}:${port}`,
    `Refused to connect to ${host}:${port} at ${address}: it is ${reason}. DECKLE_ALLOWED_REMOTE_NETWORKS lists what is permitted besides public and private networks`,
  );
