import type { BuiltInRole } from '../../kit/define-resource.ts';

const owned = (model: string, ...more: readonly string[]): Readonly<Record<string, BuiltInRole>> => {
  const rights = (...verbs: readonly string[]) => verbs.map((verb) => `core.${verb}_${model}`);
  return {
    [`core.${model}_creator`]: rights('add'),
    [`core.${model}_owner`]: [...rights('change', 'delete', 'manage_roles', 'view'), ...more],
    [`core.${model}_viewer`]: rights('view'),
  };
};
const REPLICATE = 'core.replicate_upstreampulp';

/** Built-in roles of Pulp on what has no resource of its own here, so that scripts which give them go on working. */
export const otherRoles: Readonly<Record<string, BuiltInRole>> = {
  'core.content_labeler': ['core.manage_content_labels'],
  ...owned('domain'),
  ...owned('openpgpkeyring', 'core.modify_openpgpkeyring', 'core.repair_openpgpkeyring'),
  ...owned('upstreampulp', REPLICATE),
  'core.upstreampulp_user': [REPLICATE, 'core.view_upstreampulp'],
};
