import { v7 as uuid7 } from 'uuid';
import { sql } from '../../db/sql.ts';
import { ValidationError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import { defineContentGuard } from './define-content-guard.ts';

/** A guard that lets those pass whom the registry has sent. */
export const contentRedirect = defineContentGuard({
  endpoint: 'content_redirect',
  model: 'ContentRedirectContentGuard',
  title: ['content redirect content guard', 'content redirect content guards'],
  description: 'A guard that lets those pass whom the registry has sent.',
  hrefParameter: 'content_redirect_content_guard_href',
});

/** Id of the guard that distributions share by default; made where it is not there yet. Throws ValidationError where its name is taken. */
export async function contentRedirectGuard(services: Pick<Services, 'db' | 'domain'>): Promise<string> {
  const domain = services.domain.id;
  const [guard] = await services.db.query<{ id: string }>(sql`
    with made as (
      insert into content_guard (id, domain_id, pulp_type, name) values (${uuid7()}::uuid, ${domain}::uuid, 'core.content_redirect', 'content redirect')
      on conflict (domain_id, name) do nothing returning id)
    select id from made union all select id from content_guard where domain_id = ${domain}::uuid and name = 'content redirect'
      and pulp_type = 'core.content_redirect' limit 1`);
  if (!guard) throw new ValidationError({ content_guard: ["Must be given: the guard 'content redirect' is of another type."] });
  return guard.id;
}
