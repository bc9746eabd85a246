import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { simpleImage } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique } from './server.ts';

describe('by the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  let upstream: Upstream;
  before(async () => {
    upstream = await startUpstream();
  });
  after(() => upstream?.stop());
  const suite = cliSuite();
  const { pulp, run } = suite;

  const numbers = (versions: Body[]): number[] => versions.map(({ number }: Body) => number);
  const names = (list: Body[]): string[] => list.map(({ name }: Body) => name);

  it('a repository is synced; its versions and content are listed, shown, repaired and removed', async () => {
    const foo = unique('foo');
    const [one, two] = [simpleImage(`${foo} 1`), simpleImage(`${foo} 2`)];
    upstream.put(foo, one, 'one');
    await pulp(
      'container remote create',
      '--name',
      foo,
      '--url',
      upstream.url,
      '--upstream-name',
      foo,
      '--include-tags',
      '["one", "two"]',
    );
    await pulp('container repository create', '--name', foo, '--remote', foo, '--retain-repo-versions', '5');
    await pulp('container repository sync', '--name', foo);
    upstream.put(foo, two, 'two');
    await pulp('container repository sync', '--repository', foo, '--remote', `container:container:${foo}`);
    assert.deepEqual(numbers(await pulp('container repository version list', '--repository', foo)), [2, 1, 0]);

    const version = await pulp('container repository version show', '--repository', foo, '--version', '1');
    assert.equal(version.content_summary.present['container.tag'].count, 1);
    const latest = await pulp('container repository version show', '--repository', foo);
    assert.equal(latest.number, 2);
    const of = ['--repository', foo];
    assert.deepEqual(names(await pulp('container repository content list', ...of, '--version', '1')), ['one']);
    assert.equal((await pulp('container repository content --type manifest list', ...of)).length, 2);
    const all = await pulp('container repository content list', ...of, '--all-types', '--limit', '1000');
    const present: Body[] = Object.values(latest.content_summary.present);
    assert.equal(
      all.length,
      present.reduce((sum: number, { count }: Body) => sum + count, 0),
    );

    const inVersion = ['--repository-version', latest.pulp_href];
    const [tag] = await pulp('container content list', ...inVersion, '--name', 'two');
    assert.deepEqual(await pulp('container content show', '--name', 'two', '--digest', two.digest), tag);
    const manifest = await pulp('container content --type manifest show', '--digest', one.digest);
    assert.deepEqual(await pulp('container content --type manifest list', '--digest-in', one.digest), [manifest]);
    const [blob] = await pulp('container content --type blob list', ...inVersion, '--limit', '1');
    assert.deepEqual(await pulp('container content --type blob show', '--href', blob.pulp_href), blob);
    assert.deepEqual(await pulp('container content --type manifest list', ...inVersion, '--is-bootable'), []);
    const added = await pulp('container content list', '--repository-version-added', latest.pulp_href);
    assert.deepEqual(names(added), ['two']);
    const holding = await pulp(
      'container repository version list',
      '--repository',
      foo,
      '--content',
      JSON.stringify([tag.pulp_href]),
    );
    assert.deepEqual(numbers(holding), [2]);

    const label = ['--href', blob.pulp_href, '--key', foo];
    await pulp('container content --type blob label set', ...label, '--value', 'kept');
    assert.equal((await run('container content --type blob label show', ...label)).stdout.trim(), 'kept');
    await pulp('container content --type blob label unset', ...label);

    await pulp('container repository version repair', '--repository', foo, '--version', '2');
    await pulp('container repository version destroy', '--repository', foo, '--version', '1');
    assert.deepEqual(numbers(await pulp('container repository version list', '--repository', foo)), [2, 0]);
    const gone = await run('container repository version show', '--repository', foo, '--version', '1');
    assert.deepEqual([gone.code, gone.stderr.trim()], [1, "Error: Could not find repository version with {'number': 1}."]);
    await pulp('container repository destroy', '--repository', foo);
    await pulp('container remote destroy', '--remote', foo);
  });

  it('images are added, copied, tagged and removed', async () => {
    const [foo, bar] = [unique('foo'), unique('bar')];
    const [one, two] = [simpleImage(`${foo} 1`), simpleImage(`${foo} 2`)];
    upstream.put(foo, one, 'one');
    upstream.put(foo, two, 'two');
    await pulp('container remote create', '--name', foo, '--url', upstream.url, '--upstream-name', foo);
    await pulp('container repository create', '--name', foo, '--remote', foo);
    await pulp('container repository sync', '--name', foo);
    await pulp('container repository create', '--name', bar);
    const tags = async () => names(await pulp('container repository content list', '--repository', bar)).sort();

    await pulp('container repository content add', '--repository', bar, '--name', 'one', '--digest', one.digest);
    assert.deepEqual(await tags(), ['one']);
    await pulp('container repository copy-tag', '--name', bar, '--source', foo, '--tag', 'two');
    assert.deepEqual(await tags(), ['one', 'two']);
    await pulp('container repository tag', '--name', bar, '--tag', 'two', '--digest', one.digest);
    const moved = await pulp('container content show', '--name', 'two', '--digest', one.digest);
    assert.equal((await suite.server.request('GET', moved.tagged_manifest)).body.digest, one.digest);
    await pulp('container repository untag', '--repository', bar, '--tag', 'two');
    await pulp('container repository content remove', '--repository', bar, '--name', 'one', '--digest', one.digest);
    assert.deepEqual(await tags(), []);
    const [left] = await pulp('container repository content --type manifest list', '--repository', bar);
    assert.equal(left.digest, two.digest, 'which lost its tag, and stayed');
    await pulp(
      'container repository copy-manifest',
      '--repository',
      bar,
      '--source',
      foo,
      '--version',
      '1',
      '--digest',
      one.digest,
    );
    assert.equal((await pulp('container repository content --type manifest list', '--repository', bar)).length, 2);
    const absent = await run('container repository untag', '--name', bar, '--tag', 'none');
    assert.equal(absent.code, 1);
    assert.match(absent.stderr, /The tag 'none' does not exist in the latest repository version/);
    await pulp('container repository content remove', '--repository', bar, '--all');
    const { content_summary: summary } = await pulp('container repository version show', '--repository', bar);
    assert.deepEqual(summary.present, {});
    await pulp('container repository destroy', '--name', bar);
    await pulp('container repository destroy', '--name', foo);
    await pulp('container remote destroy', '--name', foo);
  });

  it('a repository without a remote is not synced', async () => {
    const foo = unique('foo');
    await pulp('container repository create', '--name', foo);
    const { code, stderr } = await run('container repository sync', '--name', foo);
    assert.equal(code, 1);
    assert.match(stderr, /does not have a default remote/);
    await pulp('container repository destroy', '--name', foo);
  });

  for (const [kind, field, value, change, ...options] of [
    ['repository', 'description', 'changed', ['--description', 'changed']],
    ['remote', 'policy', 'on_demand', ['--policy', 'on_demand'], '--url', 'http://127.0.0.1:1', '--upstream-name', 'any'],
    ['distribution', 'private', true, ['--private'], '--base-path', unique('path')],
  ] as const) {
    it(`a ${kind} is made, listed, shown, changed, labelled and removed`, async () => {
      const foo = unique(kind);
      const made = await pulp(`container ${kind} create`, '--name', foo, '--labels', '{"made": "yes"}', ...options);
      assert.deepEqual([made.name, made.pulp_labels], [foo, { made: 'yes' }]);
      assert.equal((await pulp(`container ${kind} show`, '--name', foo)).pulp_href, made.pulp_href);
      await pulp(`container ${kind} update`, '--name', foo, ...change);
      const changed = await pulp(`container ${kind} show`, '--href', made.pulp_href);
      assert.deepEqual([changed[field], made[field] === value], [value, false]);
      await pulp(`container ${kind} label set`, `--${kind}`, foo, '--key', 'cli', '--value', foo);
      assert.equal((await run(`container ${kind} label show`, `--${kind}`, foo, '--key', 'cli')).stdout.trim(), foo);
      assert.deepEqual(names(await pulp(`container ${kind} list`, '--label-select', `cli=${foo}`)), [foo]);
      await pulp(`container ${kind} label unset`, `--${kind}`, foo, '--key', 'cli');
      const unlabelled = await run(`container ${kind} label show`, `--${kind}`, foo, '--key', 'cli');
      assert.equal(unlabelled.code, 1);
      assert.match(unlabelled.stderr, /Could not find label with key 'cli'/);
      await pulp(`container ${kind} destroy`, `--${kind}`, foo);
      assert.equal((await run(`container ${kind} show`, '--name', foo)).code, 1);
    });
  }

  it('a distribution serves a version', async () => {
    const foo = unique('served');
    const { latest_version_href: version } = await pulp('container repository create', '--name', foo);
    const served = ['--repository', foo, '--version', '0'];
    const made = await pulp('container distribution create', '--name', foo, '--base-path', foo, ...served);
    assert.equal(made.repository_version, version);
    assert.deepEqual(names(await pulp('container distribution list', '--base-path-contains', foo)), [foo]);
    await pulp('container distribution destroy', '--name', foo);
    await pulp('container repository destroy', '--name', foo);
  });

  it('namespaces are made, listed, shown and removed', async () => {
    const name = unique('namespace');
    const made = await pulp('container namespace create', '--name', name);
    assert.deepEqual(await pulp('container namespace show', '--name', name), made);
    assert.ok(names(await pulp('container namespace list', '--limit', '1000')).includes(name));
    assert.equal((await run('container namespace create', '--name', name)).code, 1);
    await pulp('container namespace destroy', '--name', name);
    assert.equal((await run('container namespace show', '--name', name)).code, 1);
  });
});
