import { sql } from '../../db/sql.ts';
import type { Located } from '../../kit/catalog.ts';
import { isUuid, prnType } from '../../kit/names.ts';
import type { Condition, ConditionInput, ObjectName } from '../../kit/policy.ts';

/** The text that a field of the request's body holds, if it is text. */
function given({ body }: ConditionInput, field: string): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const value = (body as Record<string, unknown>)[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * The object that an href or PRN in the body names, if the caller sees it; a version stands for its repository. Undefined where it names
 * nothing: that is refused where the name is looked up.
 */
async function named(input: ConditionInput, field: string): Promise<ObjectName | undefined> {
  const { catalog } = input.services;
  const text = given(input, field);
  const located = text === undefined ? undefined : await repositoryOfVersion(input, catalog.locate(text));
  if (!located || !(await input.sees(located.resource, located.id))) return undefined;
  return { type: prnType(located.resource), id: located.id };
}

/** What is located, or, where that is a version by its PRN, the version's repository. */
async function repositoryOfVersion(
  { services: { catalog, db } }: ConditionInput,
  located: Located | undefined,
): Promise<Pick<Located, 'resource' | 'id'> | undefined> {
  if (!located || prnType(located.resource) !== 'core.repositoryversion') return located;
  if (!isUuid(located.id)) return undefined;
  const [row] = await db.query<{ id: string; pulp_type: string }>(sql`
    select r.id, r.pulp_type from repository_version v join repository r on r.id = v.repository_id where v.id = ${located.id}::uuid`);
  return row && { resource: catalog.ofType('repositories', row.pulp_type), id: row.id };
}

const addressed = ({ resource, row }: ConditionInput): ObjectName | undefined => row && { type: prnType(resource), id: row.id };

/** What the path's row lies below: the repository of a version, the group of a member. */
const above = ({ resource, params }: ConditionInput): ObjectName | undefined =>
  resource.nested && params.pulp_id !== undefined ? { type: prnType(resource.nested.parent), id: params.pulp_id } : undefined;

/** Holds one of the permissions, which commas separate. */
async function holdsOne(input: ConditionInput, permissions: string, object?: ObjectName): Promise<boolean> {
  for (const permission of permissions.split(',')) if (await input.holds(permission, object)) return true;
  return false;
}

/** A condition on an object that may be missing, which is as good as having the permission. */
const onGiven =
  (...fields: readonly string[]): Condition =>
  async (input, permissions) => {
    for (const field of fields) {
      const object = await named(input, field);
      if (object) return holdsOne(input, permissions, object);
    }
    return true;
  };

const anywhere: Condition = (input, permissions) => holdsOne(input, permissions);
const onAddressed: Condition = (input, permissions) => holdsOne(input, permissions, addressed(input));
const onAbove: Condition = (input, permissions) => holdsOne(input, permissions, above(input));
const onRemote = onGiven('remote');
const onRepository = onGiven('repository', 'repository_version');
const onPublication = onGiven('publication');
const onUpload = onGiven('upload');

/** Who adds content has to say which repository it is for: what is in none can be seen by administrators only. */
const onUploadRepository: Condition = async (input, permission) => {
  const repository = await named(input, 'repository');
  if (!repository || !(await input.holds(permission, repository))) return false;
  const labels = (input.body as { pulp_labels?: unknown }).pulp_labels;
  return labels === undefined || input.holds('core.manage_content_labels');
};

/**
 * The conditions that policies of the core use, by their names in the API. There is one domain, so that what is held on the
 * domain is held on everything; what is asked of "obj" alone is held by who holds it on everything too.
 */
export const coreConditions: Readonly<Record<string, Condition>> = {
  has_model_perms: anywhere,
  has_domain_perms: anywhere,
  has_model_or_domain_perms: anywhere,
  has_obj_perms: onAddressed,
  has_model_or_obj_perms: onAddressed,
  has_model_or_domain_or_obj_perms: onAddressed,
  has_remote_param_obj_perms: onRemote,
  has_remote_param_model_or_obj_perms: onRemote,
  has_remote_param_model_or_domain_or_obj_perms: onRemote,
  has_repository_obj_perms: onAbove,
  has_repository_model_or_obj_perms: onAbove,
  has_repository_model_or_domain_or_obj_perms: onAbove,
  has_group_obj_perms: onAbove,
  has_group_model_or_obj_perms: onAbove,
  has_repo_or_repo_ver_param_model_or_obj_perms: onRepository,
  has_repo_or_repo_ver_param_model_or_domain_or_obj_perms: onRepository,
  has_publication_param_model_or_obj_perms: onPublication,
  has_publication_param_model_or_domain_or_obj_perms: onPublication,
  has_upload_param_model_or_obj_perms: onUpload,
  has_upload_param_model_or_domain_or_obj_perms: onUpload,
  has_required_repo_perms_on_upload: onUploadRepository,
};
