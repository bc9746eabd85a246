import { z } from 'zod';
import { demoImages, demoRelease } from './demo-images.ts';
import type { DemoRegistry } from './registry.ts';
import { RegistryClient } from './registry-client.ts';
import type { RestClient, Task } from './rest-client.ts';
import type { Screen } from './screen.ts';

const UPSTREAM_NAME = 'tour/hello';
const NAME = 'hello';
const POLL_MS = 40;
const API = '/pulp/api/v3';

const made = z.object({ pulp_href: z.string() });
const summary = z.record(z.string(), z.object({ count: z.number() }));
const versionShape = z.object({
  number: z.number(),
  content_summary: z.object({ added: summary, removed: summary, present: summary }),
});

/** What the tour needs. */
export interface TourStops {
  readonly api: RestClient;
  readonly upstream: DemoRegistry;
  /** Origin of Deckle, for the Registry API. */
  readonly url: string;
  readonly screen: Screen;
}

/** Mirrors a repository twice into versions, serves it and pulls an image back. Throws at the first thing that goes wrong. */
export async function tour({ api, upstream, url, screen }: TourStops): Promise<void> {
  const images = demoImages(UPSTREAM_NAME);
  for (const [tag, image] of images) upstream.put(UPSTREAM_NAME, image, tag);
  screen.heading('1. Something to mirror');
  screen.line(
    `${upstream.url} is a registry with ${UPSTREAM_NAME}: 1.0 and 1.1 (Docker), 2.0 = latest (OCI, four platforms, signed).`,
  );

  screen.heading('2. A repository, and a remote that says where its content comes from');
  const repository = (await api.post(`${API}/repositories/container/container/`, { name: NAME }, made)).pulp_href;
  const settings = { name: NAME, url: upstream.url, upstream_name: UPSTREAM_NAME, policy: 'immediate' };
  const remote = (await api.post(`${API}/remotes/container/container/`, settings, made)).pulp_href;
  screen.line(`POST ${API}/repositories/container/container/  ${repository}`);
  screen.line(`POST ${API}/remotes/container/container/       ${remote}`);

  screen.heading('3. Mirror it');
  const first = await sync(api, repository, remote, screen);
  await showVersion(api, first, screen);

  screen.heading('4. The upstream moves a tag: the next sync makes a version, and fetches only what is new');
  upstream.put(UPSTREAM_NAME, demoRelease('2.1'), 'latest');
  const second = await sync(api, repository, remote, screen);
  await showVersion(api, second, screen);

  screen.heading('5. Serve the newest version, and the one before it beside it');
  await distribute(api, { name: NAME, base_path: NAME, repository });
  await distribute(api, { name: `${NAME}-v1`, base_path: `${NAME}-v1`, repository_version: first });
  screen.line(`${url}/v2/${NAME}/     follows the repository`);
  screen.line(`${url}/v2/${NAME}-v1/  stays at version 1`);

  screen.heading('6. Pull an image back');
  const pulled = await new RegistryClient(url, NAME).pull('latest', 'linux', 'arm64');
  const pinned = await new RegistryClient(url, `${NAME}-v1`).digest('latest');
  if (pulled.digest !== demoRelease('2.1').digest)
    throw new Error(`${NAME}:latest is served as ${pulled.digest}, not as release 2.1`);
  if (pinned !== images.get('latest')?.digest) throw new Error(`${NAME}-v1:latest is served as ${pinned}, not as release 2.0`);
  screen.line(`${NAME}:latest for ${pulled.platform}: ${pulled.blobs} blobs, ${megabytes(pulled.bytes)}, every digest checked`);
  screen.line(`${NAME}:latest     ${pulled.digest}`);
  screen.line(`${NAME}-v1:latest  ${pinned}`);
}

/** Syncs and answers the href of the new version. */
async function sync(api: RestClient, repository: string, remote: string, screen: Screen): Promise<string> {
  const href = await api.dispatch(`${repository}sync/`, { remote });
  const onProgress = (task: Task) => screen.progress(task.progress_reports, task.state === 'completed');
  const { created_resources } = await api.finished(href, POLL_MS, onProgress);
  const [version] = created_resources;
  if (!version) throw new Error(`The sync ${href} completed without making a version`);
  return version;
}

async function showVersion(api: RestClient, href: string, screen: Screen): Promise<void> {
  const { number, content_summary } = await api.get(href, versionShape);
  const counts = (part: Readonly<Record<string, { count: number }>>) =>
    Object.entries(part)
      .map(([type, { count }]) => `${type.replace('container.', '')} ${count}`)
      .join(', ') || 'nothing';
  screen.line(`Version ${number}: ${href}`);
  screen.line(`  added    ${counts(content_summary.added)}`);
  screen.line(`  removed  ${counts(content_summary.removed)}`);
  screen.line(`  present  ${counts(content_summary.present)}`);
}

async function distribute(api: RestClient, settings: object): Promise<void> {
  await api.finished(await api.dispatch(`${API}/distributions/container/container/`, settings), POLL_MS);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
