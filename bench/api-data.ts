import pg from 'pg';
import { hashPassword } from '../src/lib/password-hash.ts';

/** How much a server holds while its lists are measured. */
export interface ApiDataSize {
  readonly repositories: number;
  /** Content units, spread over the repositories; the first repository has `inOne` more of them. */
  readonly units: number;
  readonly inOne: number;
}

/** A user with roles on ten repositories and on nothing else. */
export const ROLE_HOLDER = { username: 'bench-roles', password: 'bench-Roles-7' };
export const ROLES = 10;
/** Names of repositories are this and a number of six digits. */
export const PREFIX = 'bench-';

/** UUIDs of a kind in the order of their numbers, as those of rows made one after the other are. */
const ordered = (kind: number, number: string): string =>
  `(lpad(to_hex(1786000000000 + ${number}), 12, '0') || '7${String(kind).padStart(3, '0')}8000' || lpad(to_hex(${number}), 12, '0'))::uuid`;

const [REPOSITORY, VERSION, UNIT] = [1, 2, 3];

/** One statement a table; `$repositories` and the like are parameters. */
const STATEMENTS: readonly string[] = [
  `insert into repository (id, domain_id, pulp_type, name, description, pulp_labels, next_version)
   select ${ordered(REPOSITORY, 'n')}, $domain::uuid, 'container.container', '${PREFIX}' || lpad(n::text, 6, '0'), null,
     jsonb_build_object('env', (array['dev', 'test', 'prod'])[n % 3 + 1], 'team', 'team-' || n % 1000), 2
   from generate_series(1, $repositories::bigint) n`,
  `insert into container_repository (id) select ${ordered(REPOSITORY, 'n')} from generate_series(1, $repositories::bigint) n`,
  `insert into content (id, domain_id, pulp_type) select ${ordered(UNIT, 'n')}, $domain::uuid, 'container.blob' from generate_series(1, $units::bigint) n`,
  `insert into container_blob (id, domain_id, digest, size)
   select ${ordered(UNIT, 'n')}, $domain::uuid, 'sha256:' || encode(sha256(n::text::bytea), 'hex'), 1000 from generate_series(1, $units::bigint) n`,
  `insert into repository_content (repository_id, content_id, version_added)
   select ${ordered(REPOSITORY, '(n % $repositories::bigint + 1)')}, ${ordered(UNIT, 'n')}, 1 from generate_series(1, $units::bigint) n
   union
   select ${ordered(REPOSITORY, '1')}, ${ordered(UNIT, 'n')}, 1 from generate_series(1, $inOne::bigint) n`,
  `insert into repository_version (id, repository_id, number, present)
   select ${ordered(VERSION, '(2 * n + number)')}, ${ordered(REPOSITORY, 'n')}, number, '{}'
   from generate_series(1, $repositories::bigint) n, generate_series(0, 1) number`,
  `update repository_version v set present = jsonb_build_object('container.blob', held.count), added = jsonb_build_object('container.blob', held.count)
   from (select repository_id, count(*) as count from repository_content group by 1) held
   where v.repository_id = held.repository_id and v.number = 1`,
  `insert into task (id, domain_id, name, state, logging_cid, args, finished_at)
   select ${ordered(4, 'n')}, $domain::uuid, 'pulpcore.app.tasks.base.ageneral_update', 'completed', 'bench', '', now()
   from generate_series(1, 10000) n`,
];

/**
 * Fills a migrated database that has nothing in it, with rows that could have come about by requests; roles that are needed are
 * there. Takes about a minute for a million units.
 */
export async function fillDatabase(url: string, size: ApiDataSize): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>("select id from domain where name = 'default'");
    const values: Readonly<Record<string, unknown>> = {
      domain: rows[0]?.id,
      repositories: size.repositories,
      units: size.units,
      inOne: size.inOne,
    };
    for (const statement of STATEMENTS) {
      const names = [...new Set(statement.match(/(?<=\$)[a-zA-Z]+/g))];
      const text = statement.replace(/\$([a-zA-Z]+)/g, (_, name: string) => `$${names.indexOf(name) + 1}`);
      await client.query(
        text,
        names.map((name) => values[name]),
      );
    }
    const user = await client.query<{ id: number }>('insert into app_user (username, password) values ($1, $2) returning id', [
      ROLE_HOLDER.username,
      await hashPassword(ROLE_HOLDER.password),
    ]);
    await client.query(
      `insert into role_assignment (id, role_id, user_id, object_type, object_id)
       select gen_random_uuid(), role.id, $1::int, 'container.containerrepository', ${ordered(REPOSITORY, `(n * greatest($2::bigint / ${ROLES}, 1))`)}
       from generate_series(1, ${ROLES}) n, role where role.name = 'container.containerrepository_viewer'`,
      [user.rows[0]?.id, size.repositories],
    );
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}
