import assert from 'node:assert/strict';
import type { ImageContent } from '../../src/demo/image.ts';
import type { Upstream } from '../support/upstream-registry.ts';
import { type Answer, type Body, type Server, unique } from './server.ts';

export const API = '/pulp/api/v3/';
export const REPOSITORIES = `${API}repositories/container/container/`;

type Summary = Readonly<Record<string, number>>;

/** What a version added, removed and holds: `{ blob: 2, manifest: 1, tag: 1 }`. */
export interface VersionCounts {
  readonly added: Summary;
  readonly removed: Summary;
  readonly present: Summary;
}

/** A repository with its images, by what they are found by. */
export interface SyncedImages {
  readonly repository: string;
  /** Hrefs by name, or by digest. */
  readonly tags: Readonly<Record<string, string>>;
  readonly manifests: Readonly<Record<string, string>>;
  readonly blobs: Readonly<Record<string, string>>;
}

/** What the tests of content operations do to a server. */
export class Images {
  readonly server: Server;
  readonly upstream: Upstream;

  constructor(server: Server, upstream: Upstream) {
    this.server = server;
    this.upstream = upstream;
  }

  async newRepository(): Promise<string> {
    const { status, body } = await this.server.request('POST', REPOSITORIES, { name: unique('images') });
    assert.equal(status, 201, JSON.stringify(body));
    return body.pulp_href;
  }

  /** A remote of an upstream repository that has these images. */
  async remoteOf(images: Readonly<Record<string, ImageContent>>): Promise<{ remote: string; name: string }> {
    const name = unique('images');
    for (const [tag, image] of Object.entries(images)) this.upstream.put(name, image, tag);
    const made = await this.server.request('POST', `${API}remotes/container/container/`, {
      name,
      url: this.upstream.url,
      upstream_name: name,
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    return { remote: made.body.pulp_href, name };
  }

  /** A repository into which these images were synced, as version 1. */
  async synced(images: Readonly<Record<string, ImageContent>>): Promise<SyncedImages> {
    const { remote } = await this.remoteOf(images);
    const repository = await this.newRepository();
    await this.change(`${repository}sync/`, { remote });
    const units = async (kind: string, key: string): Promise<Record<string, string>> => {
      const path = `${API}content/container/${kind}/?repository_version=${repository}versions/1/&limit=1000`;
      const { body } = await this.server.request('GET', path);
      return Object.fromEntries(body.results.map((unit: Body) => [unit[key], unit.pulp_href]));
    };
    return {
      repository,
      tags: await units('tags', 'name'),
      manifests: await units('manifests', 'digest'),
      blobs: await units('blobs', 'digest'),
    };
  }

  /** POSTs what makes a task; the task at its end, completed. */
  async change(path: string, body: unknown): Promise<Body> {
    const task = await this.ended(await this.server.request('POST', path, body));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    return task;
  }

  /** The end of the task that an answer names. */
  ended(answer: Answer): Promise<Body> {
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return this.server.finished(answer);
  }

  async counts(version: string): Promise<VersionCounts> {
    const { status, body } = await this.server.request('GET', version);
    assert.equal(status, 200, `${version} ${JSON.stringify(body)}`);
    const ofSide = (side: Record<string, { count: number }>): Summary =>
      Object.fromEntries(Object.entries(side).map(([type, { count }]) => [type.replace('container.', ''), count]));
    const { added, removed, present } = body.content_summary;
    return { added: ofSide(added), removed: ofSide(removed), present: ofSide(present) };
  }

  async latest(repository: string): Promise<VersionCounts & { readonly number: number }> {
    const { body } = await this.server.request('GET', repository);
    const number = Number(body.latest_version_href.split('/').at(-2));
    return { number, ...(await this.counts(body.latest_version_href)) };
  }

  /** Tag -> digest of what it names, in the latest version. */
  async tagsOf(repository: string): Promise<Record<string, string>> {
    const { body } = await this.server.request('GET', repository);
    const path = `${API}content/container/tags/?repository_version=${body.latest_version_href}&limit=1000`;
    const tags: Body[] = (await this.server.request('GET', path)).body.results;
    const named = await Promise.all(tags.map((tag) => this.server.request('GET', tag.tagged_manifest)));
    return Object.fromEntries(tags.map((tag, at) => [tag.name, named[at]?.body.digest]));
  }
}
