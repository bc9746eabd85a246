import { v7 as uuid7 } from 'uuid';
import { sql } from '../../db/sql.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { NAME_LOOKUPS } from '../../kit/filters.ts';
import { baseFields } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { text } from '../../kit/wire.ts';

const place = {
  kind: 'contentguards',
  plugin: 'core',
  endpoint: 'content_redirect',
  model: 'ContentRedirectContentGuard',
} as const;

/** A guard that lets those pass whom the registry has sent. */
export const contentRedirect = defineResource({
  ...place,
  title: ['content redirect content guard', 'content redirect content guards'],
  description: 'A guard that lets those pass whom the registry has sent.',
  fields: {
    ...baseFields(place),
    name: { wire: text(), required: true, lookups: NAME_LOOKUPS, description: 'A unique name for this guard.' },
    description: { wire: text({ nullable: true }), description: 'What it is for.' },
  },
  ordering: {
    description: 'm.description',
    name: 'm.name',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    pulp_type: 'm.pulp_type',
  },
  hrefParameter: 'content_redirect_content_guard_href',
  verbs: ['list', 'read'],
  only: sql`m.pulp_type = 'core.content_redirect'`,
  select: sql`m.*`,
  from: sql`content_guard m`,
});

/** Id of the guard that distributions share by default; made where it is not there yet. */
export async function contentRedirectGuard(services: Pick<Services, 'db' | 'domain'>): Promise<string> {
  const domain = services.domain.id;
  const [guard] = await services.db.query<{ id: string }>(sql`
    with made as (
      insert into content_guard (id, domain_id, pulp_type, name) values (${uuid7()}::uuid, ${domain}::uuid, 'core.content_redirect', 'content redirect')
      on conflict (domain_id, name) do nothing returning id)
    select id from made union all select id from content_guard where domain_id = ${domain}::uuid and name = 'content redirect' limit 1`);
  if (!guard) throw new Error('the default content guard is missing');
  return guard.id;
}
