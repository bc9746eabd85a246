import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Body, openServer, type Server, unique, upload } from './server.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/ostree/ostree/`;
const CONTENT = `${API}content/ostree/`;
const NOBODY = '0198a1fb-0000-7000-8000-000000000000';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

describe('artifacts', () => {
  it('are uploaded once', async () => {
    const text = unique('artifact');
    const first = await upload(server, text, { size: String(text.length) });
    assert.equal(first.status, 201, JSON.stringify(first.body));
    assert.deepEqual([first.body.size, first.body.md5], [text.length, null]);
    const again = await upload(server, text);
    assert.deepEqual(
      [again.status, again.body],
      [400, { non_field_errors: [`Artifact with sha256 checksum of '${first.body.sha256}' already exists.`] }],
    );
    assert.equal((await server.request('DELETE', first.body.pulp_href)).status, 403);
  });

  for (const [fields, expected] of [
    [{ sha256: '00' }, { non_field_errors: ['The sha256 checksum did not match.'] }],
    [{ sha512: '00' }, { non_field_errors: ['The sha512 checksum did not match.'] }],
    [{ size: '1' }, { non_field_errors: ['The size did not match actual size of file.'] }],
    [{ md5: '00' }, { non_field_errors: ["Checksum algorithms ['md5'] forbidden for this Pulp instance."] }],
    [{ foo: 'bar' }, { foo: ['Unexpected field'] }],
  ] as const) {
    it(`are held to what is said of them: ${Object.keys(fields)}`, async () => {
      const answer = await upload(server, unique('artifact'), fields as Record<string, string>);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    });
  }
});

describe('OSTree content', () => {
  for (const kind of ['refs', 'commits', 'objects', 'configs', 'summaries']) {
    it(`of the kind ${kind} is not made by clients`, async () => {
      const answer = await server.request('POST', `${CONTENT}${kind}/`, {});
      assert.deepEqual([answer.status, answer.body], [405, { detail: 'Method "POST" not allowed.' }]);
    });
  }

  for (const [what, body, expected] of [
    [
      'nothing',
      {},
      { artifact: ['This field is required.'], relative_path: ['This field is required.'], digest: ['This field is required.'] },
    ],
    [
      'an unknown artifact',
      { artifact: `${API}artifacts/${NOBODY}/`, relative_path: 'a', digest: '0' },
      { artifact: ['Invalid hyperlink - Object does not exist.'] },
    ],
  ] as const) {
    it(`is not made of ${what}`, async () => {
      const answer = await server.request('POST', `${CONTENT}content/`, body);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    });
  }

  it('is made of artifacts, and put into a repository at once', async () => {
    const { body: repository } = await server.request('POST', REPOSITORIES, { name: unique('repo') });
    const { pulp_href: artifact } = (await upload(server, unique('content'))).body;
    const path = unique('extra/file');
    const unit = { artifact, relative_path: path, digest: '00' };
    const made = await server.finished(await server.request('POST', `${CONTENT}content/`, unit));
    assert.deepEqual([made.state, made.name], ['completed', 'pulpcore.app.tasks.base.general_create']);
    const [href] = made.created_resources;
    const { body } = await server.request('GET', href);
    assert.deepEqual(
      [body.artifact, body.relative_path, body.digest, body.prn, body.vuln_report],
      [artifact, path, '00', made.created_resource_prns[0], null],
    );
    assert.deepEqual(made.result, body);
    const twice = await server.finished(await server.request('POST', `${CONTENT}content/`, unit));
    assert.equal(twice.state, 'failed');

    const repositoryHref = repository.pulp_href;
    const into = { ...unit, digest: '11', repository: repositoryHref };
    const joined = await server.finished(await server.request('POST', `${CONTENT}content/`, into));
    assert.equal(joined.created_resources[0], `${repositoryHref}versions/1/`);
    assert.ok(joined.reserved_resources_record.includes(repository.prn));
    const refused = await server.finished(
      await server.request('POST', `${CONTENT}content/`, { ...into, digest: '22', overwrite: false }),
    );
    assert.equal(refused.state, 'failed');
    assert.match(
      refused.error.description,
      /^\[PLP0023\] Content overwrite rejected: new content of type 'ostree\.content' would overwrite 1 existing content unit\(s\)/,
    );
    const replaced = await server.finished(await server.request('POST', `${CONTENT}content/`, { ...into, digest: '33' }));
    const version = await server.request('GET', replaced.created_resources[0]);
    assert.equal(version.body.content_summary.present['ostree.content'].count, 1);
    const present = await server.request('GET', version.body.content_summary.present['ostree.content'].href);
    assert.deepEqual(
      present.body.results.map((one: Body) => one.digest),
      ['33'],
    );
  });

  for (const [query, expected] of [
    ['repository_version=garbage', ['URI not valid: garbage']],
    ['repository_version=', ['No value supplied for repository version filter']],
    ['bogus=1', { errors: ["Invalid Filter: 'bogus'"] }],
    ['ordering=bogus', { ordering: ['Select a valid choice. bogus is not one of the available choices.'] }],
  ] as const) {
    it(`is not listed by ${query}`, async () => {
      const answer = await server.request('GET', `${CONTENT}refs/?${query}`);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    });
  }
});
