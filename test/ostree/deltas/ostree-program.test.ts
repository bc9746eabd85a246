import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MissingProgramError, ProgramError } from '../../../src/lib/run-program.ts';
import { runOstree } from '../../../src/plugins/ostree/deltas/ostree-program.ts';
import { eventually } from '../../queue/eventually.ts';

const never = new AbortController().signal;

/** A program of this name that is found first. */
describe('the program ostree', () => {
  const { PATH = '' } = process.env;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-program-'));
    process.env.PATH = `${folder}${delimiter}${PATH}`;
  });
  after(async () => {
    process.env.PATH = PATH;
    await rm(folder, { recursive: true, force: true });
  });

  async function install(script: string): Promise<void> {
    await writeFile(join(folder, 'ostree'), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'ostree'), 0o755);
  }

  it('gets its arguments as they are: there is no shell in between', async () => {
    const given = ['--repo=a b', '$(touch hacked)', ';', '--from=x'];
    await install(`printf '%s\\n' "$@" > ${join(folder, 'arguments')}; echo "$TMPDIR" > ${join(folder, 'temporary')}`);
    await runOstree(given, folder, never);
    assert.deepEqual(readFileSync(join(folder, 'arguments'), 'utf8').trimEnd().split('\n'), given);
    assert.equal(readFileSync(join(folder, 'temporary'), 'utf8').trimEnd(), folder);
  });

  it('that fails is quoted', async () => {
    await install('echo "error: No such metadata object" >&2; exit 1');
    await assert.rejects(runOstree(['static-delta'], folder, never), (error: Error) => {
      assert.ok(error instanceof ProgramError);
      assert.equal(error.message, 'ostree failed: error: No such metadata object');
      return true;
    });
    await install('exit 3');
    await assert.rejects(runOstree(['static-delta'], folder, never), /^ProgramError: ostree failed: /);
  });

  it('that says too much is ended', async () => {
    await install('while :; do echo much; done');
    await assert.rejects(runOstree([], folder, never), ProgramError);
  });

  it('ends with the signal, whose reason is what is thrown', async () => {
    const pidFile = join(folder, 'pid');
    await install(`echo $$ > ${pidFile}; exec sleep 600`);
    const controller = new AbortController();
    const running = runOstree([], folder, controller.signal);
    const pid = await eventually('the program to run', async () =>
      existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) || undefined : undefined,
    );
    const reason = new Error('canceled');
    controller.abort(reason);
    await assert.rejects(running, (error) => error === reason);
    await eventually('the program to end', async () => (isRunning(pid) ? undefined : true));
    await assert.rejects(runOstree([], folder, controller.signal), (error) => error === reason);
  });

  it('that is not there is told apart', async () => {
    await rm(join(folder, 'ostree'), { force: true });
    process.env.PATH = folder;
    await assert.rejects(runOstree([], folder, never), MissingProgramError);
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
