import { sql } from '../../../db/sql.ts';
import {
  allow,
  CHANGES,
  may,
  mayAnywhere,
  ownerGets,
  type Policy,
  ROLE_ACTIONS,
  SCOPED,
  type Scope,
} from '../../../kit/policy.ts';

/*
 * Who may do what with OSTree resources, as Pulp's own policies say it (spec: rbac). The statements are API: operators read,
 * change and send them back.
 */

const VIEW_REPOSITORY = 'ostree.view_ostreerepository';
const onRepository = (permission: string): string => `has_repository_model_or_domain_or_obj_perms:ostree.${permission}`;
const VIEWED_REMOTE = 'has_remote_param_model_or_domain_or_obj_perms:ostree.view_ostreeremote';
const VIEWED_REPOSITORY = `has_repo_or_repo_ver_param_model_or_domain_or_obj_perms:${VIEW_REPOSITORY}`;
const VIEWED_PUBLICATION = 'has_publication_param_model_or_domain_or_obj_perms:ostree.view_ostreepublication';

export const remotePolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['create'], mayAnywhere('ostree.add_ostreeremote')),
    allow(['retrieve'], may('ostree.view_ostreeremote')),
    allow(CHANGES, may('ostree.change_ostreeremote')),
    allow(['destroy'], may('ostree.delete_ostreeremote')),
    allow(ROLE_ACTIONS, may('ostree.manage_roles_ostreeremote')),
  ],
  creation_hooks: ownerGets('ostree.ostreeremote_owner'),
  queryset_scoping: SCOPED,
};

export const repositoryPolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['create'], mayAnywhere('ostree.add_ostreerepository'), VIEWED_REMOTE),
    allow(['retrieve'], may(VIEW_REPOSITORY)),
    allow(['destroy'], may('ostree.delete_ostreerepository')),
    allow(CHANGES, may('ostree.change_ostreerepository'), VIEWED_REMOTE),
    allow(['sync'], may('ostree.sync_ostreerepository'), VIEWED_REMOTE, may(VIEW_REPOSITORY)),
    allow(['import_all', 'import_commits'], may('ostree.import_commits_ostreerepository'), may(VIEW_REPOSITORY)),
    allow(['modify'], may('ostree.modify_ostreerepository')),
    allow(ROLE_ACTIONS, may('ostree.manage_roles_ostreerepository')),
  ],
  creation_hooks: ownerGets('ostree.ostreerepository_owner'),
  queryset_scoping: SCOPED,
};

export const versionPolicy: Policy = {
  statements: [
    allow(['list', 'retrieve'], onRepository('view_ostreerepository')),
    allow(
      ['destroy'],
      onRepository('delete_ostreerepository'),
      onRepository('delete_ostreerepository_version'),
      onRepository('view_ostreerepository'),
    ),
    allow(['repair'], onRepository('repair_ostreerepository')),
  ],
};

export const distributionPolicy: Policy = {
  statements: [
    allow(['list', 'my_permissions']),
    allow(['create'], mayAnywhere('ostree.add_ostreedistribution'), VIEWED_REPOSITORY, VIEWED_PUBLICATION),
    allow(['retrieve'], may('ostree.view_ostreedistribution')),
    allow(CHANGES, may('ostree.change_ostreedistribution'), VIEWED_REPOSITORY, VIEWED_PUBLICATION),
    allow(['destroy'], may('ostree.delete_ostreedistribution')),
    allow(ROLE_ACTIONS, may('ostree.manage_roles_ostreedistribution')),
  ],
  creation_hooks: ownerGets('ostree.ostreedistribution_owner'),
  queryset_scoping: SCOPED,
};

const READ_CONTENT = allow(['list', 'retrieve']);
const SCOPED_CONTENT = { function: 'get_content_qs' };

export const contentPolicy: Policy = { statements: [READ_CONTENT], queryset_scoping: SCOPED_CONTENT };

export const uploadedContentPolicy: Policy = {
  statements: [
    READ_CONTENT,
    allow(
      ['create'],
      'has_required_repo_perms_on_upload:ostree.modify_ostreerepository',
      'has_upload_param_model_or_domain_or_obj_perms:core.change_upload',
    ),
  ],
  queryset_scoping: SCOPED_CONTENT,
};

/** Content of repositories that the caller sees; orphans for those who see all of them. */
const content: Scope = async ({ holds, heldOn }) =>
  (await holds(VIEW_REPOSITORY))
    ? undefined
    : sql`exists (select from repository_content rc where rc.content_id = m.id
        and rc.repository_id in (${heldOn(VIEW_REPOSITORY, 'ostree.ostreerepository')}))`;

/** The scopes that the policies of OSTree resources use beside the core's. */
export const ostreeScopes: Readonly<Record<string, Scope>> = { get_content_qs: content };
