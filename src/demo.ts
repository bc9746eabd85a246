import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEMO_CREDENTIALS, freePort, launchDeckle } from './demo/deckle-process.ts';
import { DemoRegistry } from './demo/registry.ts';
import { RestClient } from './demo/rest-client.ts';
import { Screen } from './demo/screen.ts';
import { tour } from './demo/tour.ts';

/** As from a registry some way off; without it the bars would be full before they are seen. */
const UPSTREAM_LATENCY_MS = 30;

const HELP = `npm run demo [-- --keep]

A tour of the main job without a network: starts a Deckle with an empty data folder and a small registry, mirrors, serves
and pulls. Everything it started is stopped at the end.

  --keep   goes on running after the tour, to try things, until Ctrl-C
`;

/** Runs the tour; everything that was started is stopped again, also after a failure. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' }, keep: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const began = performance.now();
  const screen = new Screen(process.stdout);
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => interruption.abort(new Interrupted(signal)));
  const interrupted = once(interruption.signal, 'abort').then(() => interruption.signal.throwIfAborted());
  const stops: (() => Promise<void>)[] = [];
  const run = async () => {
    screen.heading('Starting Deckle: PostgreSQL, server and worker, with an empty data folder');
    const folder = await mkdtemp(join(tmpdir(), 'deckle-demo-'));
    stops.unshift(() => rm(folder, { recursive: true, force: true }));
    const upstream = await DemoRegistry.start(UPSTREAM_LATENCY_MS);
    stops.unshift(() => upstream.stop());
    const port = await freePort();
    interruption.signal.throwIfAborted(); // from here on nothing is started that the stops do not know
    const deckle = launchDeckle(folder, port);
    stops.unshift(() => deckle.stop());
    await deckle.ready;
    screen.line(`${deckle.url} answers; its data is in ${folder}`);
    await tour({ api: new RestClient(deckle.url, DEMO_CREDENTIALS), upstream, url: deckle.url, screen });
    screen.heading(`That was it, in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    if (values.keep) {
      showWhatToTry(screen, deckle.url);
      await interrupted;
    } else {
      screen.line('npm run demo -- --keep   leaves it running, to try things');
      screen.line('npm start                starts a Deckle that keeps its data in ./data');
    }
  };
  try {
    await Promise.race([run(), interrupted]);
  } catch (error) {
    if (!(error instanceof Interrupted && values.keep)) throw error;
  } finally {
    for (const stop of stops) await stop();
  }
}

/** A signal that asks us to stop. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor(signal: string) {
    super(`stopped by ${signal}`);
  }
}

function showWhatToTry(screen: Screen, url: string): void {
  const { username, password } = DEMO_CREDENTIALS;
  const { host } = new URL(url);
  screen.line(`curl -u ${username}:${password} ${url}/pulp/api/v3/repositories/container/container/`);
  screen.line(`curl -u ${username}:${password} ${url}/pulp/api/v3/content/container/tags/`);
  screen.line(`skopeo inspect --tls-verify=false docker://${host}/hello:latest`);
  screen.line(`podman pull --tls-verify=false ${host}/hello:1.1`);
  screen.line(`${url}/pulp/api/v3/docs/   the API, in a browser`);
  screen.line('Ctrl-C stops all of it and removes its data.');
}

main().catch((error: unknown) => {
  process.stderr.write(`\ndemo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
