import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { NetworkPolicy, type NetworkRules } from '../../src/download/network-policy.ts';

const policy = (given: Partial<NetworkRules> = {}): NetworkPolicy =>
  new NetworkPolicy({ remoteUrl: 'https://registry.example', allowedNetworks: [], ownAddresses: [], ...given });

describe('addresses of a hop (spec: security, rule 8)', () => {
  const cases: readonly (readonly [address: string, reason: string | undefined])[] = [
    ['93.184.216.34', undefined],
    ['10.1.2.3', undefined],
    ['172.16.0.1', undefined],
    ['192.168.1.1', undefined],
    ['fd12:3456::1', undefined],
    ['2606:2800:220:1::1', undefined],
    ['127.0.0.1', 'a loopback address'],
    ['127.255.0.9', 'a loopback address'],
    ['::1', 'a loopback address'],
    ['::ffff:127.0.0.1', 'a loopback address'],
    ['::ffff:7f00:1', 'a loopback address'],
    ['64:ff9b::7f00:1', 'a loopback address'],
    ['2002:7f00:1::', 'a loopback address'],
    ['169.254.1.1', 'a link-local address'],
    ['fe80::1', 'a link-local address'],
    ['169.254.169.254', 'an address of a cloud metadata service'],
    ['::ffff:169.254.169.254', 'an address of a cloud metadata service'],
    ['64:ff9b::a9fe:a9fe', 'an address of a cloud metadata service'],
    ['100.100.100.200', 'an address of a cloud metadata service'],
    ['fd00:ec2::254', 'an address of a cloud metadata service'],
    ['224.0.0.1', 'a multicast or reserved address'],
    ['255.255.255.255', 'a multicast or reserved address'],
    ['ff02::1', 'a multicast or reserved address'],
    ['0.0.0.0', 'an unspecified address'],
    ['0.1.2.3', 'an unspecified address'],
    ['::', 'an unspecified address'],
    ['::ffff:0.0.0.0', 'an unspecified address'],
  ];
  for (const [address, reason] of cases) {
    test(`${address} is ${reason ?? 'permitted'}`, () => {
      assert.equal(policy().refusal('cdn.example', address, 443), reason);
    });
  }
});

describe('exceptions', () => {
  test('a remote at loopback may be connected to, and its hops too', () => {
    const local = policy({ remoteUrl: 'http://127.0.0.1:5000' });
    assert.equal(local.refusal('127.0.0.1', '127.0.0.1', 5000), undefined);
    assert.equal(local.refusal('127.0.0.2', '127.0.0.2', 6000), undefined);
  });

  test('a remote whose name is at loopback opens it only once it was found there', () => {
    const named = policy({ remoteUrl: 'http://registry.internal:5000' });
    assert.equal(named.refusal('cdn.example', '127.0.0.1', 80), 'a loopback address');
    assert.equal(named.refusal('registry.internal', '127.0.0.1', 5000), undefined);
    assert.equal(named.refusal('cdn.example', '127.0.0.1', 80), undefined);
  });

  test('listed networks open loopback and link-local, but never metadata', () => {
    const listed = policy({ allowedNetworks: ['127.0.0.0/8', '169.254.0.0/16', '::1'] });
    assert.equal(listed.refusal('cdn.example', '127.0.0.1', 80), undefined);
    assert.equal(listed.refusal('cdn.example', '::1', 80), undefined);
    assert.equal(listed.refusal('cdn.example', '169.254.7.7', 80), undefined);
    assert.equal(listed.refusal('cdn.example', '169.254.169.254', 80), 'an address of a cloud metadata service');
  });

  test('a hop to where this server listens is refused; the remote itself may be there', () => {
    const rules = { remoteUrl: 'http://127.0.0.1:24817', ownAddresses: [{ address: '127.0.0.1', port: 24817 }] };
    assert.equal(policy(rules).refusal('127.0.0.1', '127.0.0.1', 24817), undefined);
    const other = policy({ ...rules, remoteUrl: 'http://127.0.0.1:5000' });
    assert.equal(other.refusal('127.0.0.1', '127.0.0.1', 24817), "this server's own address");
    assert.equal(other.refusal('localhost', '127.0.0.1', 24817), "this server's own address");
    assert.equal(other.refusal('127.0.0.1', '127.0.0.1', 24818), undefined);
  });

  test('listening on all interfaces makes each of them its own', () => {
    const own = policy({ remoteUrl: 'http://127.0.0.1:5000', ownAddresses: [{ address: '0.0.0.0', port: 80 }] });
    for (const address of Object.values(networkInterfaces()).flatMap((list) => list?.map((one) => one.address) ?? [])) {
      if (address.startsWith('fe80:')) continue;
      assert.equal(own.refusal('hop.example', address, 80), "this server's own address", address);
    }
  });
});

describe('checkUrl and lookup', () => {
  test('a URL that spells an address oddly is what it means', () => {
    for (const url of ['http://2130706433/', 'http://0x7f.1/', 'http://017700000001/', 'http://[::ffff:127.0.0.1]/']) {
      assert.throws(() => policy().checkUrl(new URL(url)), { name: 'UpstreamError', kind: 'forbidden-address' }, url);
    }
  });

  test('other schemes are refused', () => {
    assert.throws(() => policy().checkUrl(new URL('file:///etc/passwd')), { name: 'UpstreamError', kind: 'redirect' });
  });

  test('a name that resolves to a refused address is not connected to', async () => {
    const error = await new Promise((resolve) => policy().lookup(80)('localhost', { all: true }, resolve));
    assert.match(String(error), /Refused to connect to localhost:80 at .*: it is a loopback address/);
  });

  test('a name that may be there is resolved, in both forms', async () => {
    const local = policy({ remoteUrl: 'http://localhost:80' });
    const one = await new Promise((resolve) => local.lookup(80)('localhost', { family: 4 }, (_, address) => resolve(address)));
    assert.equal(one, '127.0.0.1');
    const all = await new Promise((resolve) =>
      local.lookup(80)('localhost', { family: 4, all: true }, (_, addresses) => resolve(addresses)),
    );
    assert.deepEqual(all, [{ address: '127.0.0.1', family: 4 }]);
  });
});
