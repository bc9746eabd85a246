import { type Authenticator, authenticator, ContentGuards, OnDemandArtifacts, servedVersion } from '../../../core/plugin-api.ts';
import type { Services } from '../../../kit/services.ts';
import { type Turns, turns } from '../../../lib/turns.ts';
import { PullThrough } from '../pull-through/pull-through.ts';
import { Blobs } from './blob.ts';
import { Manifests } from './manifest.ts';
import { PullRights } from './pull-rights.ts';
import { servedDistributions } from './served-distribution.ts';
import { Tokens } from './token.ts';
import { TokenCallers } from './token-callers.ts';
import { loadTokenKeys } from './token-keys.ts';
import { UpstreamBlobs } from './upstream-blob.ts';

/** What the registry needs of its surroundings. */
export type RegistryServices = Pick<
  Services,
  'config' | 'db' | 'storage' | 'secrets' | 'log' | 'clock' | 'domain' | 'catalog' | 'access'
>;

/** What the routes of the registry share: keys, and what is kept in memory between requests. */
export interface ServedRegistry {
  readonly services: RegistryServices;
  readonly tokens: Tokens;
  readonly guards: ContentGuards;
  readonly authenticator: Authenticator;
  readonly distributions: ReturnType<typeof servedDistributions>;
  readonly pullRights: PullRights;
  readonly callers: TokenCallers;
  readonly manifests: Manifests;
  readonly blobs: Blobs;
  readonly onDemand: OnDemandArtifacts;
  readonly pullThrough: PullThrough;
  /** For changes, by repository: one that waits for the lock of its repository would keep a connection to the database meanwhile. */
  readonly turns: Turns;
  close(): Promise<void>;
}

/** While one writes its version, the next ones write what they bring, which needs no lock. */
const CHANGES_AT_ONCE = 3;

/** Reads the keys, making them on the first start, and begins to listen for changes. Throws TokenKeyError. */
export async function openServedRegistry(services: RegistryServices): Promise<ServedRegistry> {
  const tokens = new Tokens(services, await loadTokenKeys(services.config.DATA_DIR));
  const guards = await ContentGuards.open(services);
  const distributions = servedDistributions(services);
  const onDemand = new OnDemandArtifacts(services);
  const upstreams = new UpstreamBlobs(services);
  const blobs = new Blobs(services, upstreams);
  const manifests = new Manifests(services);
  const pullThrough = new PullThrough(services, {
    find: async (name, reference) => {
      const distribution = await distributions.find(name);
      const version = distribution && servedVersion(distribution);
      return version && (await manifests.find(version, reference)) ? version : undefined;
    },
    published: () => services.db.seenEverywhere(),
  });
  const pullRights = new PullRights();
  const users = authenticator(services);
  const callers = new TokenCallers(services, users);
  await distributions.start();
  await pullRights.start(services);
  await callers.start();
  await blobs.files.start();
  await pullThrough.start();
  return {
    services,
    tokens,
    guards,
    authenticator: users,
    distributions,
    pullRights,
    callers,
    manifests,
    blobs,
    onDemand,
    pullThrough,
    turns: turns(CHANGES_AT_ONCE),
    close: async () => {
      await pullThrough.close();
      await onDemand.close();
      await upstreams.close();
      await distributions.close();
      await pullRights.close();
      await callers.close();
      await blobs.files.close();
    },
  };
}
