import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { v7 } from 'uuid';
import { readConfig } from '../../src/config.ts';
import { openAccess } from '../../src/core/access/access.ts';
import { type Database, openDatabase } from '../../src/db/database.ts';
import { sql } from '../../src/db/sql.ts';
import type { ImageContent } from '../../src/demo/image.ts';
import type { BlobContent } from '../../src/demo/layer.ts';
import { registerErrorHandler } from '../../src/http/error-handler.ts';
import { catalogOf } from '../../src/kit/catalog.ts';
import { hashPassword } from '../../src/lib/password-hash.ts';
import { secretBox } from '../../src/lib/secret-box.ts';
import { derivedFields } from '../../src/plugins/container/oci/derived-fields.ts';
import { parseManifest } from '../../src/plugins/container/oci/manifest.ts';
import { fastPath, registryRoutes } from '../../src/plugins/container/registry/registry-routes.ts';
import type { RegistryServices } from '../../src/plugins/container/registry/served-registry.ts';
import { manifestRow } from '../../src/plugins/container/sync/manifest-row.ts';
import { plugins } from '../../src/plugins.ts';
import { filesystemStorage } from '../../src/storage/filesystem.ts';
import { artifactKey } from '../../src/storage/layout.ts';
import { faultLog } from '../support/fault-log.ts';
import { freePort } from '../support/free-port.ts';
import { createDatabase } from '../support/postgres.ts';

export const ADMIN = { username: 'admin', password: 'correct horse' };
export const basicHeader = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** A server process of the registry: its own caches, on a database and a storage that others may share. */
export interface RegistryServer {
  readonly origin: string;
  readonly host: string;
  readonly services: RegistryServices;
  /** Requests that went past the framework. */
  readonly fast: () => number;
  stop(): Promise<void>;
}

/** Content that is written to the database as a sync writes it, and served by real servers. */
export interface RegistryWorld {
  readonly server: RegistryServer;
  readonly services: RegistryServices;
  /** Lines of the log about faults, of all servers, that came since this was asked before. */
  readonly faults: () => readonly string[];
  /** Another server on the same rows and files, with connections of its own, as in another process. */
  join(): Promise<RegistryServer>;
  repository(name: string, remoteId?: string): Promise<string>;
  /** Publishes a version that holds exactly the tags' images and all below them. Answers its id. */
  publish(repositoryId: string, tags: Readonly<Record<string, ImageContent>>, options?: PublishOptions): Promise<string>;
  /** Adds an image to what was pushed to the repository and is in no version yet. */
  pend(repositoryId: string, image: ImageContent): Promise<void>;
  distribution(basePath: string, serves: Serves): Promise<string>;
  remote(url: string, upstreamName: string, policy?: string): Promise<string>;
  /** Runs a statement and the notification that goes with it in one transaction, and waits until it is seen, as the REST API does. */
  change(channel: string, id: string, statement: ReturnType<typeof sql>): Promise<void>;
  stop(): Promise<void>;
}

export interface PublishOptions {
  /** Layers are only known, to be had from this remote. */
  readonly onDemandFrom?: readonly string[];
}

export interface Serves {
  readonly repository_id?: string;
  readonly repository_version_id?: string;
  readonly private?: boolean;
}

export async function startRegistryServer(
  base: Omit<RegistryServices, 'config'>,
  env: Record<string, string>,
  prepare: (app: FastifyInstance) => void = () => undefined,
): Promise<RegistryServer> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const config = readConfig({ PORT: String(port), PULP_CONTENT_ORIGIN: `http://${host}`, ...env });
  const services: RegistryServices = { ...base, config };
  const fast = fastPath(services);
  let passed = 0;
  const app: FastifyInstance = Fastify({
    loggerInstance: base.log as FastifyBaseLogger,
    serverFactory: (handler): Server =>
      createServer((request, response) => {
        if (fast(request, response)) passed += 1;
        else handler(request, response);
      }),
  });
  registerErrorHandler(app);
  prepare(app);
  await app.register(async (scope) => registryRoutes(scope, services));
  await app.listen({ host: '127.0.0.1', port });
  return { origin: `http://${host}`, host, services, fast: () => passed, stop: () => app.close() };
}

/** Starts a database, a storage and one server; `env` goes to the configuration; `prepare` is done to the server's application first. */
export async function startRegistryWorld(
  env: Record<string, string> = {},
  prepare?: (app: FastifyInstance) => void,
): Promise<RegistryWorld> {
  const { log, faults } = faultLog(process.env.TEST_LOG);
  const database = await createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'deckle-registry-'));
  const db = openDatabase(database.url, { max: 8, log });
  const storage = await filesystemStorage({ root: join(folder, 'media'), log });
  const [known] = await db.query<{ id: string }>(sql`select id from domain where name = 'default'`);
  const domain = { id: known?.id ?? v7(), name: 'default' };
  if (!known)
    await db.execute(sql`insert into domain (id, name, pulp_last_updated) values (${domain.id}::uuid, 'default', now())`);
  await db.execute(sql`
    insert into app_user (username, password, is_superuser) values
      (${ADMIN.username}, ${await hashPassword(ADMIN.password)}, true), ('reader', ${await hashPassword('reading')}, false)`);
  const catalog = catalogOf(plugins);
  const secrets = secretBox([Buffer.alloc(32, 7)]);
  const settings = { DATA_DIR: folder, DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8', ...env };
  const begun: (() => Promise<void>)[] = [];
  const open = async (own: Database): Promise<RegistryServer> => {
    begun.push(() => own.close());
    const access = await openAccess({ db: own, domain, catalog });
    begun.push(() => access.close());
    const parts = { db: own, storage, log, domain, catalog, access, clock: () => new Date(), secrets };
    const joined = await startRegistryServer(parts, settings, prepare);
    begun.push(() => joined.stop());
    return joined;
  };
  const server = await open(db);
  const rows = new ContentRows(server.services);
  return {
    server,
    services: server.services,
    faults,
    join: () => open(openDatabase(database.url, { max: 4, log })),
    repository: (name, remoteId) => rows.repository(name, remoteId),
    publish: (repositoryId, tags, options) => rows.publish(repositoryId, tags, options),
    pend: (repositoryId, image) => rows.pend(repositoryId, image),
    distribution: (basePath, serves) => rows.distribution(basePath, serves),
    remote: (url, upstreamName, policy) => rows.remote(url, upstreamName, policy),
    change: (channel, id, statement) => rows.change(channel, id, statement),
    stop: async () => {
      for (const end of begun.reverse()) await end();
      await storage.close();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

class ContentRows {
  readonly #services: RegistryServices;

  constructor(services: RegistryServices) {
    this.#services = services;
  }

  get #domainId(): string {
    return this.#services.domain.id;
  }

  async change(channel: string, id: string, statement: ReturnType<typeof sql>): Promise<void> {
    await this.#services.db.transaction(async (tx) => {
      await tx.execute(statement);
      await tx.query(sql`select pg_notify(${channel}, ${id})`);
    });
    await this.#services.db.seenEverywhere();
  }

  async repository(name: string, remoteId: string | null = null): Promise<string> {
    const id = v7();
    const { db } = this.#services;
    await db.execute(sql`
      insert into repository (id, domain_id, pulp_type, name, remote_id, pulp_last_updated)
      values (${id}::uuid, ${this.#domainId}::uuid, 'container.container', ${name}, ${remoteId}::uuid, now())`);
    await db.execute(sql`insert into container_repository (id) values (${id}::uuid)`);
    await db.execute(sql`
      insert into repository_version (id, repository_id, number, pulp_last_updated) values (${v7()}::uuid, ${id}::uuid, 0, now())`);
    return id;
  }

  async remote(url: string, upstreamName: string, policy = 'on_demand'): Promise<string> {
    const id = v7();
    const { db } = this.#services;
    await db.execute(sql`
      insert into remote (id, domain_id, pulp_type, name, url, policy, max_retries, pulp_last_updated)
      values (${id}::uuid, ${this.#domainId}::uuid, 'container.container', ${id}, ${url}, ${policy}, 0, now())`);
    await db.execute(sql`insert into container_remote (id, upstream_name) values (${id}::uuid, ${upstreamName})`);
    return id;
  }

  async distribution(basePath: string, serves: Serves): Promise<string> {
    const id = v7();
    const [namespace] = await this.#services.db.query<{ id: string }>(sql`
      insert into container_namespace (id, domain_id, name, pulp_last_updated)
      values (${v7()}::uuid, ${this.#domainId}::uuid, ${basePath.split('/')[0]}, now())
      on conflict (domain_id, name) do update set pulp_last_updated = now() returning id`);
    await this.#services.db.transaction(async (tx) => {
      await tx.execute(sql`
        insert into distribution (id, domain_id, pulp_type, name, base_path, repository_id, repository_version_id, pulp_last_updated)
        values (${id}::uuid, ${this.#domainId}::uuid, 'container.container', ${basePath}, ${basePath},
          ${serves.repository_id ?? null}::uuid, ${serves.repository_version_id ?? null}::uuid, now())`);
      await tx.execute(sql`
        insert into container_distribution (id, namespace_id, private)
        values (${id}::uuid, ${namespace?.id}::uuid, ${serves.private ?? false})`);
      await tx.query(sql`select pg_notify('deckle_distribution', ${id})`);
    });
    return id;
  }

  async publish(
    repositoryId: string,
    tags: Readonly<Record<string, ImageContent>>,
    options: PublishOptions = {},
  ): Promise<string> {
    const held: string[] = [];
    for (const [name, image] of Object.entries(tags)) {
      const manifestId = await this.#manifest(image, held, options);
      const tagId = await this.#content(
        'container.tag',
        sql`
        select id from container_tag where name = ${name} and tagged_manifest_id = ${manifestId}::uuid`,
        (id) => sql`insert into container_tag (id, name, tagged_manifest_id) values (${id}::uuid, ${name}, ${manifestId}::uuid)`,
      );
      held.push(tagId);
    }
    return this.#version(repositoryId, held);
  }

  async pend(repositoryId: string, image: ImageContent): Promise<void> {
    const held: string[] = [];
    await this.#manifest(image, held, {});
    await this.#services.db.execute(sql`
      insert into container_pending_content (repository_id, content_id)
      select distinct ${repositoryId}::uuid, t.id from unnest(${held}::uuid[]) as t(id)`);
  }

  async #version(repositoryId: string, held: readonly string[]): Promise<string> {
    const id = v7();
    await this.#services.db.transaction(async (tx) => {
      const [row] = await tx.query<{ number: number }>(sql`
        update repository set next_version = next_version + 1 where id = ${repositoryId}::uuid returning next_version - 1 as number`);
      const number = row?.number as number;
      await tx.execute(sql`
        update repository_content set version_removed = ${number}
        where repository_id = ${repositoryId}::uuid and version_removed is null and not content_id = any(${held}::uuid[])`);
      await tx.execute(sql`
        insert into repository_content (repository_id, content_id, version_added)
        select distinct ${repositoryId}::uuid, t.id, ${number}::int from unnest(${held}::uuid[]) as t(id)
        where not exists (select from repository_content rc
          where rc.repository_id = ${repositoryId}::uuid and rc.content_id = t.id and rc.version_removed is null)`);
      await tx.execute(sql`
        insert into repository_version (id, repository_id, number, pulp_last_updated)
        values (${id}::uuid, ${repositoryId}::uuid, ${number}, now())`);
      await tx.query(sql`select pg_notify('deckle_repository', ${repositoryId})`);
    });
    await this.#services.db.seenEverywhere();
    return id;
  }

  async #content(type: string, find: ReturnType<typeof sql>, insert: (id: string) => ReturnType<typeof sql>): Promise<string> {
    const { db } = this.#services;
    const [known] = await db.query<{ id: string }>(find);
    if (known) return known.id;
    const id = v7();
    await db.execute(sql`
      insert into content (id, domain_id, pulp_type, pulp_last_updated) values (${id}::uuid, ${this.#domainId}::uuid, ${type}, now())`);
    await db.execute(insert(id));
    return id;
  }

  async #manifest(image: ImageContent, held: string[], options: PublishOptions): Promise<string> {
    const children: string[] = [];
    for (const child of image.children) children.push(await this.#manifest(child, held, options));
    for (const [index, blob] of image.blobs.entries()) {
      // The first is the configuration, which is always stored.
      held.push(await this.#blob(blob, index === 0 ? undefined : options.onDemandFrom));
    }
    const manifest = parseManifest(image.bytes, { contentType: image.mediaType });
    const { schema_version, artifact_type, annotations, subject } = manifestRow(
      { kind: 'manifest', manifest, derived: derivedFields(manifest) },
      () => image.digest,
    );
    const id = await this.#content(
      'container.manifest',
      sql`select id from container_manifest where digest = ${image.digest}`,
      (id) => sql`
        insert into container_manifest (id, domain_id, digest, schema_version, media_type, data, subject, artifact_type, annotations)
        values (${id}::uuid, ${this.#domainId}::uuid, ${image.digest}, ${schema_version}, ${image.mediaType}, ${image.bytes},
          ${subject}, ${artifact_type}, ${annotations}::jsonb)`,
    );
    for (const child of children) {
      await this.#services.db.execute(sql`
        insert into container_manifest_list_item (list_id, manifest_id) values (${id}::uuid, ${child}::uuid) on conflict do nothing`);
    }
    held.push(id);
    return id;
  }

  async #blob(blob: BlobContent, remotes: readonly string[] | undefined): Promise<string> {
    const { db, storage } = this.#services;
    const id = await this.#content(
      'container.blob',
      sql`select id from container_blob where digest = ${blob.digest}`,
      (id) => sql`
      insert into container_blob (id, domain_id, digest, size)
      values (${id}::uuid, ${this.#domainId}::uuid, ${blob.digest}, ${blob.size})`,
    );
    for (const remoteId of remotes ?? []) {
      await db.execute(sql`
        insert into remote_content (content_id, remote_id) values (${id}::uuid, ${remoteId}::uuid) on conflict do nothing`);
    }
    if (remotes) return id;
    const sha256 = blob.digest.slice('sha256:'.length);
    const file = await storage.create();
    const chunk = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < blob.size; ) {
      const count = blob.copy(at, chunk);
      await file.write(chunk.subarray(0, count));
      at += count;
    }
    await file.commit(artifactKey(sha256));
    await db.execute(sql`
      insert into artifact (id, domain_id, file, size, sha256, pulp_last_updated)
      values (${v7()}::uuid, ${this.#domainId}::uuid, ${artifactKey(sha256)}, ${blob.size}, ${sha256}, now()) on conflict do nothing`);
    await db.execute(sql`
      update content set artifact_id = (select id from artifact where sha256 = ${sha256}) where id = ${id}::uuid`);
    return id;
  }
}
