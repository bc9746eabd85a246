import type { BuiltInRole } from '../../../kit/define-resource.ts';
import {
  allow,
  allowWhere,
  CHANGES,
  may,
  mayAnywhere,
  type NamedFunction,
  ownerGets,
  type Policy,
  ROLE_ACTIONS,
  SCOPED,
} from '../../../kit/policy.ts';

/*
 * Who may do what with container resources, as Pulp's own policies say it (spec: rbac). The statements are API: operators
 * read, change and send them back.
 */

const SEEN = {
  ns_perm: 'container.view_containernamespace',
  dist_perm: 'container.view_containerdistribution',
  repo_perm: 'container.view_containerrepository',
};
const scoped = (name: string, ...parameters: (keyof typeof SEEN)[]): NamedFunction => ({
  function: name,
  parameters: Object.fromEntries(parameters.map((parameter) => [parameter, SEEN[parameter]])),
});
const onRow = (permission: string): string => `has_namespace_or_obj_perms:container.${permission}`;
const onRepository = (permission: string): string => `has_repository_model_or_domain_or_obj_perms:container.${permission}`;

export const remotePolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['create'], mayAnywhere('container.add_containerremote')),
    allow(['retrieve'], may('container.view_containerremote')),
    allow(CHANGES, may('container.change_containerremote'), may('container.view_containerremote')),
    allow(['destroy'], may('container.delete_containerremote'), may('container.view_containerremote')),
    allow(ROLE_ACTIONS, may('container.manage_roles_containerremote')),
  ],
  creation_hooks: ownerGets('container.containerremote_owner'),
  queryset_scoping: SCOPED,
};

/** The three ways to a right on a repository: on itself, by its namespace, by a distribution of it. */
const VIEWED =
  'has_model_or_domain_or_obj_perms:container.view_containerrepository or has_namespace_obj_perms:container.namespace_view_containerrepository or has_distribution_perms:container.view_containerdistribution';
const CHANGED =
  'has_model_or_domain_or_obj_perms:container.change_containerrepository or has_namespace_obj_perms:container.namespace_change_containerrepository or has_distribution_perms:container.change_containerdistribution';
const MODIFIED =
  'has_model_or_domain_or_obj_perms:container.modify_content_containerrepository or has_namespace_obj_perms:container.namespace_modify_content_containerrepository';
const VIEWED_FOR_CONTENT =
  'has_model_or_domain_or_obj_perms:container.view_containerrepository or has_namespace_obj_perms:container.namespace_view_containerdistribution or has_distribution_perms:container.view_containerdistribution';

export const repositoryPolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['create'], mayAnywhere('container.add_containerrepository')),
    allowWhere(['retrieve'], VIEWED),
    allow(['destroy'], may('container.delete_containerrepository'), may('container.view_containerrepository')),
    allowWhere(CHANGES, `(${CHANGED}) and (${VIEWED})`),
    allow(
      ['sync'],
      may('container.sync_containerrepository'),
      'has_remote_param_model_or_domain_or_obj_perms:container.view_containerremote',
      may('container.view_containerrepository'),
    ),
    allowWhere(
      ['add', 'remove', 'tag', 'untag', 'copy_tags', 'copy_manifests', 'sign'],
      `(${MODIFIED}) and (${VIEWED_FOR_CONTENT})`,
    ),
    allow(
      ['build_image'],
      may('container.build_image_containerrepository'),
      may('container.view_containerrepository'),
      'has_repo_or_repo_ver_param_model_or_domain_or_obj_perms:file.view_filerepository',
    ),
    allow(ROLE_ACTIONS, may('container.manage_roles_containerrepository')),
  ],
  creation_hooks: ownerGets('container.containerrepository_owner'),
  queryset_scoping: scoped('get_container_repos_qs', 'ns_perm', 'dist_perm', 'repo_perm'),
};

export const versionPolicy: Policy = {
  statements: [
    allowWhere(
      ['list', 'retrieve'],
      'has_repository_model_or_domain_or_obj_perms:container.view_containerrepository or has_namespace_obj_perms:container.namespace_view_containerrepository or has_distribution_perms:container.view_containerdistribution',
    ),
    allow(['destroy'], onRepository('delete_containerrepository_versions'), onRepository('view_containerrepository')),
    allow(['destroy'], onRepository('delete_containerrepository'), onRepository('view_containerrepository')),
    allow(['repair'], onRepository('sync_containerrepository'), onRepository('view_containerrepository')),
  ],
};

const PUSHED_CHANGED =
  'has_namespace_obj_perms:container.namespace_change_containerpushrepository or has_distribution_perms:container.change_containerdistribution';

export const pushRepositoryPolicy: Policy = {
  statements: [
    allow(['list']),
    allowWhere(
      ['retrieve'],
      // The name of the first permission is Pulp's, which no role can hold: what is in a namespace is read by way of its distributions.
      'has_namespace_obj_perms:container.namespace_view_containerpush_repository or has_distribution_perms:container.view_containerdistribution',
    ),
    allowWhere(
      ['tag', 'untag', 'remove_image', 'sign', 'remove_signatures'],
      'has_namespace_obj_perms:container.namespace_modify_content_containerpushrepository or has_distribution_perms:container.modify_content_containerpushrepository',
    ),
    allowWhere(['update', 'partial_update', 'set_label', 'unset_label', 'migrate'], PUSHED_CHANGED),
  ],
  queryset_scoping: scoped('get_push_repos_qs', 'ns_perm', 'dist_perm'),
};

export const pushVersionPolicy: Policy = {
  statements: [
    allowWhere(
      ['list', 'retrieve'],
      'has_namespace_obj_perms:container.namespace_view_containerdistribution or has_distribution_perms:container.view_containerdistribution',
    ),
  ],
};

export const distributionPolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['catalog']),
    allow(['create'], 'has_namespace_model_perms'),
    allow(['create'], 'has_namespace_perms:container.add_containerdistribution'),
    allow(['create'], 'namespace_is_username'),
    allowWhere(['retrieve'], 'not is_private or has_namespace_or_obj_perms:container.view_containerdistribution'),
    { ...allowWhere(['pull'], 'not is_private'), principal: '*' },
    allow(['pull'], onRow('pull_containerdistribution')),
    allow(CHANGES, onRow('change_containerdistribution'), onRow('view_containerdistribution')),
    allow(['push'], onRow('push_containerdistribution'), 'obj_exists'),
    allow(['push'], onRow('add_containerdistribution'), onRow('push_containerdistribution')),
    allow(['destroy'], onRow('delete_containerdistribution'), onRow('view_containerdistribution')),
    allow(ROLE_ACTIONS, may('container.manage_roles_containerdistribution')),
    allow(['pull_new_content'], 'has_namespace_obj_perms:container.namespace_modify_content_containerrepository'),
  ],
  creation_hooks: ownerGets('container.containerdistribution_owner'),
  queryset_scoping: scoped('get_dist_qs', 'ns_perm', 'dist_perm'),
};

export const namespacePolicy: Policy = {
  statements: [
    allow(['list']),
    allow(['create'], mayAnywhere('container.add_containernamespace')),
    allow(['create'], 'namespace_is_username'),
    allow(['retrieve', 'my_permissions'], may('container.view_containernamespace')),
    allow(['destroy'], may('container.delete_containernamespace'), may('container.view_containernamespace')),
    allow(['create_distribution'], may('container.namespace_add_containerdistribution')),
    allow(['view_distribution'], may('container.namespace_view_containerdistribution')),
    allow(ROLE_ACTIONS, may('container.manage_roles_containernamespace')),
  ],
  creation_hooks: ownerGets('container.containernamespace_owner'),
  queryset_scoping: SCOPED,
};

export const contentPolicy: Policy = {
  statements: [
    allow(['list']),
    allow(['retrieve']),
    allow(['set_label', 'unset_label'], mayAnywhere('core.manage_content_labels')),
  ],
  queryset_scoping: scoped('get_content_qs', 'ns_perm', 'dist_perm', 'repo_perm'),
};

const ofPullThrough = (model: string, ...verbs: readonly string[]): string[] => verbs.map((verb) => `container.${verb}_${model}`);
const distributionRights = (...verbs: readonly string[]) => ofPullThrough('containerpullthroughdistribution', ...verbs);
const remoteRights = (...verbs: readonly string[]) => ofPullThrough('containerpullthroughremote', ...verbs);
const PULL_NEW = 'container.pull_new_containerdistribution';

/** Roles on pull-through caches. */
export const pullThroughRoles: Readonly<Record<string, BuiltInRole>> = {
  'container.containerpullthroughdistribution_creator': distributionRights('add'),
  'container.containerpullthroughdistribution_owner': [
    ...distributionRights('change', 'delete', 'manage_roles', 'view'),
    PULL_NEW,
  ],
  'container.containerpullthroughdistribution_collaborator': [...distributionRights('view'), PULL_NEW],
  'container.containerpullthroughdistribution_consumer': [...distributionRights('view'), PULL_NEW],
  'container.containerpullthroughremote_creator': remoteRights('add'),
  'container.containerpullthroughremote_owner': remoteRights('change', 'delete', 'manage_roles', 'view'),
  'container.containerpullthroughremote_viewer': remoteRights('view'),
};
