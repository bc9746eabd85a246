import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type Body, openServer, type Server, upload } from './server.ts';

const ARTIFACTS = '/pulp/api/v3/artifacts/';
const MISSING = '01a1fdab-0000-7c60-9270-e26432bfda04';

let server: Server;
let stored: { readonly bytes: Buffer; readonly body: Body };
before(async () => {
  server = await openServer();
  const bytes = randomBytes(50);
  stored = { bytes, body: (await upload(server, bytes)).body };
});
after(() => server?.stop());

const digest = (name: string, bytes: Buffer): string => createHash(name).update(bytes).digest('hex');

describe('an artifact', () => {
  it('is what was sent', async () => {
    const { bytes, body } = stored;
    const sha256 = digest('sha256', bytes);
    assert.deepEqual([body.size, body.sha256, body.md5, body.sha1], [50, sha256, null, null]);
    assert.equal(body.file, `artifact/${sha256.slice(0, 2)}/${sha256.slice(2)}`);
    assert.deepEqual((await server.request('GET', body.pulp_href)).body, body);
    assert.deepEqual((await server.request('GET', `${body.pulp_href}?fields=size,prn`)).body, { size: 50, prn: body.prn });
  });

  it('with right checksums and size is taken', async () => {
    const bytes = randomBytes(50);
    const checksums = ['sha224', 'sha256', 'sha384', 'sha512'].map((name) => [name, digest(name, bytes)] as const);
    const { status, body } = await upload(server, bytes, { ...Object.fromEntries(checksums), size: '50' });
    assert.equal(status, 201, JSON.stringify(body));
    for (const [name, value] of checksums) assert.equal(body[name], value);
  });

  it('may be sent with blanks around its checksum, and with what was answered of another', async () => {
    const bytes = randomBytes(50);
    const { status } = await upload(server, bytes, { sha256: ` ${digest('sha256', bytes)} `, pulp_href: 'x', pulp_created: 'x' });
    assert.equal(status, 201);
  });

  it('that is there already is refused', async () => {
    const { status, body } = await upload(server, stored.bytes);
    const said = `Artifact with sha256 checksum of '${digest('sha256', stored.bytes)}' already exists.`;
    assert.deepEqual([status, body], [400, { non_field_errors: [said] }]);
  });

  const other = (name: string) => ({ non_field_errors: [`The ${name} checksum did not match.`] });
  const forbidden = (names: string) => ({
    non_field_errors: [`Checksum algorithms [${names}] forbidden for this Pulp instance.`],
  });
  for (const [fields, expected] of [
    [{ size: '49' }, { non_field_errors: ['The size did not match actual size of file.'] }],
    [{ size: '-1' }, { non_field_errors: ['The size did not match actual size of file.'] }],
    [{ size: '5000000000' }, { non_field_errors: ['The size did not match actual size of file.'] }],
    [{ size: 'x' }, { size: ['A valid integer is required.'] }],
    [{ sha224: 'x' }, other('sha224')],
    [{ sha256: 'x' }, other('sha256')],
    [{ sha384: 'x' }, other('sha384')],
    [{ sha512: 'x' }, other('sha512')],
    [{ sha256: '' }, other('sha256')],
    [{ sha512: '' }, other('sha512')],
    [{ md5: 'x' }, forbidden("'md5'")],
    [{ md5: '' }, forbidden("'md5'")],
    [{ sha1: 'x', md5: 'x', sha256: 'x' }, forbidden("'sha1', 'md5'")],
    [{ foo: '1', sha256: 'x' }, { foo: ['Unexpected field'] }],
  ] as const) {
    it(`with ${JSON.stringify(fields)} is refused, and not stored`, async () => {
      const bytes = randomBytes(50);
      const { status, body } = await upload(server, bytes, fields);
      assert.deepEqual([status, body], [400, expected]);
      assert.equal((await server.request('GET', `${ARTIFACTS}?sha256=${digest('sha256', bytes)}`)).body.count, 0);
    });
  }

  it('of upper-case checksum is another', async () => {
    const bytes = randomBytes(50);
    const { status, body } = await upload(server, bytes, { sha256: digest('sha256', bytes).toUpperCase() });
    assert.deepEqual([status, body], [400, other('sha256')]);
  });

  it('is only read', async () => {
    for (const method of ['PUT', 'PATCH', 'POST']) {
      const { status, body } = await server.request(method, stored.body.pulp_href, {});
      assert.deepEqual([status, body], [405, { detail: `Method "${method}" not allowed.` }]);
    }
    const { status, body } = await server.request('DELETE', stored.body.pulp_href);
    assert.deepEqual([status, body], [403, { detail: 'You do not have permission to perform this action.' }]);
    assert.equal((await server.request('GET', stored.body.pulp_href)).status, 200);
  });

  it('that is not there is 404', async () => {
    const { status, body } = await server.request('GET', `${ARTIFACTS}${MISSING}/`);
    assert.deepEqual([status, body], [404, { detail: 'No Artifact matches the given query.' }]);
    assert.deepEqual((await server.request('GET', `${ARTIFACTS}x/`)).body, { detail: 'Not found.' });
  });
});

describe('lists of artifacts', () => {
  const found = async (query: string): Promise<string[]> => {
    const { status, body } = await server.request('GET', `${ARTIFACTS}?${query}`);
    assert.equal(status, 200, JSON.stringify(body));
    return body.results.map(({ pulp_href }: { pulp_href: string }) => pulp_href);
  };

  it('are filtered by checksum, and by whether something has them', async () => {
    const { sha256, pulp_href } = stored.body;
    assert.deepEqual(await found(`sha256=${sha256}`), [pulp_href]);
    assert.deepEqual(await found(`sha256=${sha256}&orphaned_for=0`), [pulp_href]);
    assert.deepEqual(await found(`sha256=${sha256}&orphaned_for=1000`), []);
    assert.deepEqual(await found(`sha256=${sha256}&orphaned_for=-1`), []);
    assert.deepEqual(await found(`q=sha256=${sha256} AND NOT md5=x`), [pulp_href]);
    assert.deepEqual(await found('md5=x'), []);
    assert.deepEqual((await found('limit=1')).length, 1);
  });

  for (const [query, expected] of [
    ['size=3', { errors: ["Invalid Filter: 'size'"] }],
    ['sha256__in=x', { errors: ["Invalid Filter: 'sha256__in'"] }],
    ['ordering=foo', { ordering: ['Select a valid choice. foo is not one of the available choices.'] }],
    ['orphaned_for=x', { orphaned_for: ['Enter a number.'] }],
    ['repository_version=x', ['URI not valid: x']],
    ['repository_version=', ['No value supplied for repository version filter']],
    ['q=size=3', { q: ["Filter 'size' does not exist."] }],
  ] as const) {
    it(`refuse ${query}`, async () => {
      const { status, body } = await server.request('GET', `${ARTIFACTS}?${query}`);
      assert.deepEqual([status, body], [400, expected]);
    });
  }
});
