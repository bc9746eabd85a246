import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique, upload } from './server.ts';

const API = '/pulp/api/v3/';
const NO_UUID = '00000000-0000-7000-8000-000000000000';

describe('the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  const suite = cliSuite();
  const { pulp, run } = suite;

  /** What a command says that fails. */
  async function refusal(command: string, ...options: string[]): Promise<string> {
    const { code, stderr, stdout } = await run(command, ...options);
    assert.deepEqual([code, stdout], [1, ''], `${command}: ${stderr}`);
    return stderr.trim();
  }

  describe('asks about the server:', () => {
    it('status and plugins', async () => {
      const { versions, online_workers: workers, database_connection: database } = await pulp('status');
      assert.ok(['core', 'container', 'ostree'].every((name) => versions.some(({ component }: Body) => component === name)));
      assert.ok(workers.length > 0);
      assert.deepEqual(database, { connected: true });
      assert.equal(await pulp('debug has-plugin', '--name', 'core', '--specifier', '>=3.70'), true);
      const absent = await run('debug has-plugin', '--name', 'container', '--specifier', '>=99');
      assert.deepEqual([absent.code, absent.stdout], [1, 'false\n']);
      assert.equal(await pulp('debug has-cli-plugin', '--name', 'container'), true);
    });

    it('workers', async () => {
      const [worker] = await pulp('worker list', '--online');
      assert.deepEqual((await pulp('worker show', '--name', worker.name)).pulp_href, worker.pulp_href);
      assert.equal((await pulp('worker show', '--href', worker.pulp_href)).name, worker.name);
      const listed = await pulp('worker list', '--name-contains', worker.name.slice(1));
      assert.ok(listed.some(({ name }: Body) => name === worker.name));
      const gone = await pulp('worker list', '--missing');
      assert.ok(!gone.some(({ name }: Body) => name === worker.name));
    });

    it('its API', async () => {
      const [info, ids, names, schemes, operation] = await Promise.all([
        pulp('debug openapi info'),
        pulp('debug openapi operation-ids'),
        pulp('debug openapi schema-names'),
        pulp('debug openapi security-schemes'),
        pulp('debug openapi operation', '--id', 'tasks_read'),
      ]);
      assert.equal(typeof info.title, 'string');
      assert.ok(ids.includes('repositories_container_container_sync'));
      assert.ok(names.includes('container.ContainerRepositoryResponse'));
      assert.equal(schemes.basicAuth.scheme, 'basic');
      assert.deepEqual([operation.method, operation.path], ['get', '{task_href}']);
      const schema = await pulp('debug openapi schema', '--name', 'TaskResponse');
      assert.ok(Object.keys(schema.properties).includes('progress_reports'));
      const spec = await pulp('debug openapi spec');
      assert.deepEqual(spec.components.schemas.TaskResponse, schema);
      const { results } = await pulp('debug openapi call', '--id', 'workers_list', '--parameter', 'name=nobody');
      assert.deepEqual(results, []);
      assert.match(
        await refusal('debug openapi operation', '--id', 'nothing_at_all'),
        /No operation with id nothing_at_all found/,
      );
    });
  });

  describe('keeps its settings:', () => {
    it('in a file that is used', async () => {
      const path = join(suite.cli.folder, 'made.toml');
      const made = await run(
        'config create',
        '--base-url',
        suite.server.url,
        '--username',
        'admin',
        '--password',
        'password',
        '--location',
        path,
      );
      assert.equal(made.code, 0, made.stderr);
      assert.match(await readFile(path, 'utf8'), /username = "admin"/);
      assert.equal((await run('config validate', '--location', path)).code, 0);
      assert.ok(Array.isArray(await pulp('worker list', '--limit', '1')));
      await writeFile(path, '[cli]\nformat = "verse"\n');
      assert.match(await refusal('config validate', '--location', path), /'format' is not one of/);
    });

    it('and prints as it is told', async () => {
      const { stdout } = await run('--format yaml worker list', '--limit', '1');
      assert.match(stdout, /^- \w+: .*\n( {2}\w+:.*\n)* {2}name: \S+$/m);
      assert.equal((await run('--format none worker list')).stdout.trim(), '');
    });
  });

  describe('shows', () => {
    it('any resource by its href or its PRN', async () => {
      const { body: artifact } = await upload(suite.server, unique('shown'));
      assert.deepEqual(await pulp('show', '--href', artifact.pulp_href), artifact);
      assert.deepEqual(await pulp('show', '--prn', artifact.prn), artifact);
      assert.deepEqual(await pulp('artifact show', '--href', artifact.pulp_href), artifact);
      assert.match(await refusal('show', '--href', `${API}artifacts/${NO_UUID}/`), /No Artifact matches the given query/);
      assert.match(await refusal('show', '--prn', `prn:core.artifact:${NO_UUID}`), /No Artifact matches the given query/);
    });

    it('lists of everything, in pages, with chosen fields', async () => {
      const commands = [
        'repository list',
        'remote list',
        'distribution list',
        'content list',
        'content-guard list',
        'publication list',
        'task-group list',
      ];
      const lists = await Promise.all(commands.map((command) => pulp(command, '--limit', '2')));
      assert.ok(lists.every((list) => Array.isArray(list) && list.length <= 2));
      await upload(suite.server, unique('listed'));
      const [listed] = await pulp('artifact list', '--limit', '1', '--field', 'pulp_href', '--field', 'sha256');
      assert.deepEqual(Object.keys(listed).sort(), ['pulp_href', 'sha256']);
      const [{ pulp_labels: labels, ...rest }] = await pulp('role list', '--limit', '1', '--exclude-field', 'description');
      assert.deepEqual([labels, 'name' in rest, 'description' in rest], [undefined, true, false]);
      assert.ok(Array.isArray(await pulp('repository version list', '--limit', '1')));
      assert.ok(Array.isArray(await pulp('upload list', '--limit', '1')));
    });

    it('generic lists by name and label', async () => {
      const name = unique('generic');
      const remote = ['--name', name, '--url', 'http://127.0.0.1:1', '--upstream-name', 'a'];
      const label = ['--labels', `{"cli": "${name}"}`];
      await pulp('container remote create', ...remote, ...label);
      await pulp('container repository create', '--name', name);
      await pulp('container distribution create', '--name', name, '--base-path', name);
      assert.deepEqual(
        (await pulp('remote list', '--label-select', `cli=${name}`)).map((one: Body) => one.name),
        [name],
      );
      assert.deepEqual(
        (await pulp('repository list', '--name-icontains', name.toUpperCase())).map((one: Body) => one.name),
        [name],
      );
      assert.deepEqual(
        (await pulp('distribution list', '--base-path', name)).map((one: Body) => one.name),
        [name],
      );
      await pulp('container distribution destroy', '--name', name);
      await pulp('container repository destroy', '--name', name);
      await pulp('container remote destroy', '--name', name);
    });
  });

  describe('access policies', () => {
    it('are listed, shown, changed and reset', async () => {
      const viewset = ['--viewset-name', 'contentguards/core/content_redirect'];
      const policy = await pulp('access-policy show', ...viewset);
      assert.deepEqual(await pulp('access-policy show', '--href', policy.pulp_href), policy);
      const listed = await pulp('access-policy list', '--limit', '1000');
      assert.ok(listed.some(({ pulp_href: href }: Body) => href === policy.pulp_href));
      const { statements, creation_hooks: hooks } = policy;
      await pulp(
        'access-policy update',
        ...viewset,
        '--creation-hooks',
        JSON.stringify(hooks),
        '--statements',
        JSON.stringify(statements),
      );
      const changed = await pulp('access-policy show', ...viewset);
      assert.deepEqual([changed.customized, changed.statements], [true, statements]);
      const reset = await pulp('access-policy reset', ...viewset);
      assert.deepEqual([reset.customized, reset.statements, reset.creation_hooks], [false, statements, hooks]);
      assert.match(await refusal('access-policy show', '--viewset-name', 'nobody'), /Could not find access policy/);
    });
  });

  describe('says what was wrong:', () => {
    it('with a password', async () => {
      const { code, stderr } = await suite.cli.as('admin', 'not-the-password').run('artifact list');
      assert.deepEqual([code, stderr.trim()], [1, 'Error: Authentication failed for artifacts_list.']);
    });

    it('with a name', async () => {
      for (const [command, what] of [
        ['worker show', 'worker'],
        ['role show', 'role'],
        ['group show', 'user group'],
        ['container remote show', 'container remote'],
        ['content-guard header show', 'header content guard'],
      ] as const) {
        assert.equal(await refusal(command, '--name', 'nobody'), `Error: Could not find ${what} with {'name': 'nobody'}.`);
      }
    });

    it('with what was sent', async () => {
      const name = unique('twice');
      await pulp('container repository create', '--name', name);
      assert.equal(
        await refusal('container repository create', '--name', name),
        'Error: {"name":["This field must be unique."]}',
      );
      await pulp('container repository destroy', '--name', name);
      assert.match(await refusal('artifact list', '--ordering', 'nonsense'), /^Error: 'ordering\[0\]' is expected to be one of/);
    });

    it('with a server that lacks what is asked for', async () => {
      assert.match(await refusal('group permission list', '--group', 'any'), /core<3\.20\.0/);
    });
  });

  describe('tells what it does', () => {
    it('and nothing unsafe in a dry run', async () => {
      const name = unique('dry');
      const made = await run('--dry-run container repository create', '--name', name);
      assert.deepEqual([made.code, made.stderr.trim()], [1, 'Error: Call aborted due to safe mode']);
      assert.deepEqual(await pulp('--dry-run repository list', '--name', name), []);
    });

    it('with every request', async () => {
      const { stderr } = await run('-v worker list', '--limit', '1');
      assert.match(stderr, /^workers_list : get http\S+workers\/\?\S*limit=1$/m);
      assert.match(stderr, /^Response: 200$/m);
      const more = await run('-vvv worker list', '--limit', '1');
      assert.match(more.stderr, /correlation-id/i);
    });
  });
});
