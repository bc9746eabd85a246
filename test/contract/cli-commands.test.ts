import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../support/missing.ts';
import { NOT_OFFERED, readDeviations } from './documents.ts';

/*
 * Every command that the `pulp` command line has for core and container is run by a test, or named here with the operation that it
 * would need. An operation that comes to be offered makes this fail: then its commands want a test.
 */

/** Command, or the group it is in -> an operation that is not offered yet. */
const AWAITED: Readonly<Record<string, string>> = {
  domain: 'domains_list',
  export: 'exporters_core_pulp_exports_list',
  exporter: 'exporters_core_pulp_list',
  importer: 'importers_core_pulp_list',
  'upstream-pulp': 'upstream_pulps_list',
  'vulnerability-report': 'vuln_report_list',
};

/** Command, or the group it is in -> why no server that Deckle stands for has it, or it has nothing to do with one. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  ansible: 'another plugin',
  'config edit': 'opens an editor and asks no server',
  'container repository remove-image': 'for repositories of older servers: run by container/push-repositories.test.ts',
  'container repository version scan': 'the command line takes these versions for ones that are not scanned',
  'content-guard composite role': 'the command line does not know that these guards have roles, and stops by itself',
  'content-guard header role': 'the same',
  'content-guard redirect role': 'the same',
  'content-guard rhsm': 'another plugin: certguard',
  'content-guard x509': 'another plugin: certguard',
  file: 'another plugin',
  'group permission': 'for servers before 3.20',
  ostree: 'run by ostree-flows.test.ts',
  python: 'another plugin',
  rpm: 'another plugin',
};

const WALK = `
import click, pulp_cli, json
pulp_cli.load_plugins()
def leaves(command, path):
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from leaves(child, path + [name])
    else:
        yield " ".join(path)
print(json.dumps(list(leaves(pulp_cli.main, []))))
`;

/** All commands, as the installed command line has them: `container repository version list`. */
async function commands(): Promise<string[]> {
  const program = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => {
    try {
      return [realpathSync(join(folder, 'pulp'))];
    } catch {
      return [];
    }
  })[0];
  assert.ok(program, 'pulp is on the PATH');
  // The first line of the program names the Python that has its modules.
  const python = /^#!(.+)$/m.exec(readFileSync(program, 'utf8'))?.[1] ?? '';
  const { stdout } = await promisify(execFile)(python, ['-c', WALK]);
  return JSON.parse(stdout);
}

/** What the tests run, as patterns: the words of string literals, where a placeholder may be any word. */
function tested(): RegExp[] {
  const folder = join(import.meta.dirname, '..', 'acceptance');
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .filter((source) => source.includes('pulp-cli.ts'));
  return sources.flatMap((source) =>
    // 'worker', 'list' is the same as 'worker list'.
    [...source.replaceAll(/', '(?=[a-z])/g, ' ').matchAll(/['`]((?:--[\w-]+ )*[a-z][^'`\n]*)['`]/g)].map(([, literal = '']) => {
      const words = literal
        .replace(/\$\{[^}]*\}/g, '\0')
        .replace(/ --?\w[\w-]* [\w.]+/g, '')
        .replace(/^(--[\w-]+ ([\d]+ )?)+/, '');
      return new RegExp(`^${words.replace(/[^\w \0-]/g, '\\$&').replaceAll('\0', '\\S+')}$`);
    }),
  );
}

const isIn = (list: Readonly<Record<string, string>>, command: string): boolean =>
  Object.keys(list).some((name) => command === name || command.startsWith(`${name} `));

describe('the commands of the pulp command line', { skip: missing('pulp') }, () => {
  it('are each run by a test, or named with the reason why not', async () => {
    const patterns = tested();
    const all = await commands();
    assert.ok(all.includes('ostree repository import-all'), 'pulp-cli-ostree is installed');
    assert.deepEqual(
      all.filter(
        (command) => !isIn(AWAITED, command) && !isIn(ELSEWHERE, command) && !patterns.some((pattern) => pattern.test(command)),
      ),
      [],
    );
    for (const name of [...Object.keys(AWAITED), ...Object.keys(ELSEWHERE)]) {
      assert.ok(
        all.some((command) => isIn({ [name]: '' }, command)),
        `there is no command ${name}`,
      );
    }
  });

  it('that are not run need what is not offered', () => {
    const deviations = readDeviations();
    for (const [command, operation] of Object.entries(AWAITED)) {
      assert.equal(deviations[operation], NOT_OFFERED, `${operation} is offered: pulp ${command} wants a test`);
    }
  });
});
