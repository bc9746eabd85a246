import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Queryable } from '../../../db/database.ts';
import { empty, join, type Sql, sql } from '../../../db/sql.ts';
import { MalformedRequestError } from '../../../kit/errors.ts';
import { storableText } from '../../../lib/storable-text.ts';
import type { RegistryServices } from './served-registry.ts';

/** What the index is asked for: of each list any, of labels all. An empty list asks for nothing in particular. */
interface FlatpakQuery {
  readonly repository: readonly string[];
  readonly tag: readonly string[];
  readonly os: readonly string[];
  readonly architecture: readonly string[];
  readonly labelExists: readonly string[];
  readonly labels: ReadonlyMap<string, readonly string[]>;
}

interface ImageRow {
  readonly base_path: string;
  readonly digest: string;
  readonly media_type: string;
  readonly os: string | null;
  readonly architecture: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
}

/** Images that are read at a time, and the bytes of their labels after which it is fewer: they hold icons. */
const IMAGES_AT_ONCE = 200;
const LABEL_BYTES = 4 * 1024 * 1024;
/** How long caches may answer for `/index/static`. */
const STATIC_SECONDS = 60;
const REQUIRED = 'org.flatpak.ref';

/** `/index/dynamic` and `/index/static`: the flatpaks that anybody may pull, for `flatpak` remotes of the kind `oci+https://`. */
export function flatpakRoutes(app: FastifyInstance, services: RegistryServices): void {
  for (const [path, caching] of [
    ['/index/dynamic', 'no-cache'],
    ['/index/static', `public, max-age=${STATIC_SECONDS}`],
  ] as const) {
    app.get(path, (request, reply) => {
      const query = parseFlatpakQuery(new URL(request.url, 'http://localhost').searchParams);
      return reply
        .header('content-type', 'application/json')
        .header('cache-control', caching)
        .send(Readable.from(indexText(services, query)));
    });
  }
}

/** Throws MalformedRequestError (400) for a parameter that there is not, and where flatpaks are not what is asked for. */
function parseFlatpakQuery(parameters: URLSearchParams): FlatpakQuery {
  const lists = { repository: [] as string[], tag: [] as string[], os: [] as string[], architecture: [] as string[] };
  const labelExists: string[] = [];
  const labels = new Map<string, string[]>();
  for (const [name, given] of parameters) {
    const value = storableText(given);
    const [, label, exists] = /^label:(.+?)(:exists)?$/s.exec(name) ?? [];
    if (label !== undefined && exists !== undefined) {
      if (value !== '1') throw new MalformedRequestError(`The parameter ${name} can only be 1.`);
      labelExists.push(storableText(label));
    } else if (label !== undefined) {
      labels.set(storableText(label), [...(labels.get(storableText(label)) ?? []), value]);
    } else if (name in lists) lists[name as keyof typeof lists].push(value);
    else throw new MalformedRequestError(`There is no parameter ${name}.`);
  }
  if (!labelExists.includes(REQUIRED)) throw new MalformedRequestError(`The parameter label:${REQUIRED}:exists=1 is required.`);
  return { ...lists, labelExists, labels };
}

/** The document, piece by piece: not all labels are in memory at once. */
async function* indexText({ db, config, domain }: RegistryServices, query: FlatpakQuery): AsyncGenerator<string, void, void> {
  yield `{"Registry":${JSON.stringify(config.PULP_CONTENT_ORIGIN)},"Results":[`;
  let last: ImageRow | undefined;
  for (;;) {
    const rows = await findImages(db, domain.id, query, last);
    for (const row of rows) {
      const name = JSON.stringify(row.base_path);
      if (row.base_path !== last?.base_path) yield `${last ? ']},' : ''}{"Name":${name},"Images":[${imageText(row)}`;
      else yield `,${imageText(row)}`;
      last = row;
    }
    if (rows.length === 0) break;
  }
  yield last ? ']}]}' : ']}';
}

const imageText = ({ tags, digest, media_type, os, architecture, labels }: ImageRow): string =>
  JSON.stringify({ Tags: tags, Digest: digest, MediaType: media_type, OS: os, Architecture: architecture, Labels: labels });

/** The next images after `last`, in the order of base path and digest: tagged ones, and those in an index that is tagged. */
async function findImages(
  db: Queryable,
  domainId: string,
  query: FlatpakQuery,
  last: ImageRow | undefined,
): Promise<readonly ImageRow[]> {
  const open = sql`not c.private and (g.pulp_type is null or g.pulp_type = 'core.content_redirect')
    ${anyIn(sql`d.base_path`, query.repository)}`;
  const opened = sql`join container_distribution c on c.id = d.id left join content_guard g on g.id = d.content_guard_id`;
  const after = last ? sql`where (base_path collate "C", digest) > (${last.base_path} collate "C", ${last.digest})` : empty;
  return db.query<ImageRow>(sql`
    with flatpak as materialized (
      select m.id, m.digest from container_manifest m
      where m.is_flatpak and m.type = 'flatpak' and m.domain_id = ${domainId}::uuid
        and jsonb_exists_all(m.labels, ${query.labelExists}::text[]) ${labelled(query.labels)}
        ${anyIn(sql`m.os`, query.os)} ${anyIn(sql`m.architecture`, query.architecture)}),
    tagged as (
      select named.id, named.digest, t.name, t.id as tag_id
      from (
        select f.id, f.digest, f.id as top from flatpak f
        union all
        select f.id, f.digest, li.list_id from flatpak f join container_manifest_list_item li on li.manifest_id = f.id) named
      join container_tag t on t.tagged_manifest_id = named.top ${anyIn(sql`t.name`, query.tag)}),
    served as (
      select d.base_path, tagged.id, tagged.digest, tagged.name
      from tagged join repository_content rc on rc.content_id = tagged.tag_id
        join distribution d on d.repository_id = rc.repository_id ${opened}
      where rc.version_removed is null and ${open}
      union all
      select d.base_path, tagged.id, tagged.digest, tagged.name
      from tagged join repository_content rc on rc.content_id = tagged.tag_id
        join repository_version v on v.repository_id = rc.repository_id
        join distribution d on d.repository_version_id = v.id ${opened}
      where rc.version_added <= v.number and (rc.version_removed is null or rc.version_removed > v.number) and ${open}),
    page as (
      select base_path, id, digest, array_agg(distinct name) as tags from served ${after}
      group by base_path, id, digest order by base_path collate "C", digest limit ${IMAGES_AT_ONCE}),
    weighed as (
      select page.*,
        sum(octet_length(m.labels::text)) over (order by base_path collate "C", page.digest) - octet_length(m.labels::text) as before
      from page join container_manifest m on m.id = page.id)
    select weighed.base_path, m.digest, m.media_type, m.os, m.architecture, m.labels, weighed.tags
    from weighed join container_manifest m on m.id = weighed.id
    where weighed.before < ${LABEL_BYTES}
    order by weighed.base_path collate "C", m.digest`);
}

const anyIn = (column: Sql, values: readonly string[]): Sql =>
  values.length === 0 ? empty : sql`and ${column} = any(${values}::text[])`;

const labelled = (labels: FlatpakQuery['labels']): Sql =>
  labels.size === 0
    ? empty
    : sql`and ${join(
        [...labels].map(([name, values]) => sql`m.labels ->> ${name} = any(${values}::text[])`),
        ' and ',
      )}`;
