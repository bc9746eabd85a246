// npm run conformance -- PROGRAM…: the conformance suites of the OCI distribution-spec against a Deckle of their own, with tokens and
// with passwords. PROGRAM is `conformance.test` (v1.1) or `conformance` (since 2026), built from github.com/opencontainers/distribution-spec.
import { access, constants } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { imageOf } from '../src/demo/image.ts';
import { ADMIN, startRegistryWorld } from '../test/container/registry-world.ts';
import { pullsAlone, runAnonymousPulls, runSuite, type SuiteRun, shortcomings } from '../test/support/conformance-suite.ts';
import { keepPostgres } from '../test/support/postgres.ts';

const programs = process.argv.slice(2).map((program) => resolve(program));
if (programs.length === 0) throw new Error('which suite? npm run conformance -- PROGRAM…');
for (const program of programs) await access(program, constants.X_OK);

let clean = true;
function report(title: string, run: SuiteRun): void {
  const count = (outcome: string): number => run.cases.filter((one) => one.outcome === outcome).length;
  const short = shortcomings(run);
  if (short.length > 0) {
    clean = false;
    console.log(run.output);
  }
  console.log(`${title}: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
  for (const { name, outcome } of short) console.log(`  ${outcome}: ${name}`);
}

const leave = await keepPostgres();
const image = imageOf();
const blob = image.blobs[0]?.digest;
if (blob === undefined) throw new Error('the image has no configuration');
for (const [authentication, env] of Object.entries({ tokens: {}, passwords: { PULP_TOKEN_AUTH_DISABLED: 'true' } })) {
  const world = await startRegistryWorld(env);
  try {
    const { host } = world.server;
    const repository = await world.repository('public');
    await world.publish(repository, { latest: image });
    await world.distribution('public/image', { repository_id: repository });
    const pulls = { name: 'public/image', tag: 'latest', manifest: image.digest, blob };
    for (const program of programs) {
      const name = basename(program);
      report(`${name}, ${authentication}`, await runSuite(program, { host, ...ADMIN }));
      if (pullsAlone(program))
        report(`${name}, ${authentication}, pulls by nobody`, await runAnonymousPulls(program, host, pulls));
    }
  } finally {
    await world.stop();
  }
}
await leave();
console.log(clean ? 'no failure' : 'see above');
process.exitCode = clean ? 0 : 1;
