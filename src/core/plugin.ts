import { definePlugin } from '../kit/define-plugin.ts';
import { generalTasks } from '../kit/general-tasks.ts';
import { groupRoles, userRoles } from './access/assigned-roles.ts';
import { coreConditions } from './access/conditions.ts';
import { otherRoles } from './access/other-roles.ts';
import { accessPolicy } from './access/policy-resource.ts';
import { role } from './access/role-resource.ts';
import { coreScopes } from './access/scopes.ts';
import { artifact } from './artifacts/artifact-resource.ts';
import { auditEntry, auditRoles } from './audit/audit-resource.ts';
import { genericContent } from './content/content-resource.ts';
import { compositeGuard } from './content-guards/composite.ts';
import { contentRedirect } from './content-guards/content-redirect.ts';
import { envVarHeaderGuard } from './content-guards/envvar-header.ts';
import { genericGuard } from './content-guards/generic-guard.ts';
import { headerGuard } from './content-guards/header.ts';
import { rbacGuard } from './content-guards/rbac.ts';
import { artifactDistribution } from './distributions/artifact-distribution.ts';
import { genericDistribution } from './distributions/generic-distribution.ts';
import { docsOperations } from './docs/operations.ts';
import { group } from './groups/group-resource.ts';
import { groupUsers } from './groups/group-users.ts';
import { publication } from './publications/publication-resource.ts';
import { genericRemote } from './remotes/generic-remote.ts';
import { deleteVersion } from './repositories/delete-version.ts';
import { genericRepository } from './repositories/generic-repository.ts';
import { repositoryVersions } from './repositories/version-resource.ts';
import { asciiArmoredDetached } from './signing/ascii-armored-detached.ts';
import { signingService } from './signing/signing-service-resource.ts';
import { statusOperations } from './status/operations.ts';
import { purgeTasks } from './tasks/purge.ts';
import { task } from './tasks/resource.ts';
import { taskSchedule } from './tasks/schedule-resource.ts';
import { taskGroup } from './tasks/task-group-resource.ts';
import { upkeepOperations } from './upkeep/operations.ts';
import { orphanCleanup } from './upkeep/orphan-cleanup.ts';
import { reclaimSpace } from './upkeep/reclaim-space.ts';
import { repairAll, repairVersion } from './upkeep/repair-tasks.ts';
import { commitUpload } from './uploads/commit-upload.ts';
import { upload } from './uploads/upload-resource.ts';
import { apiToken } from './users/api-token-resource.ts';
import { loginOperations } from './users/login-operations.ts';
import { user } from './users/user-resource.ts';
import { worker } from './workers/resource.ts';

/** What every plugin shares, in the form of a plugin. */
export const corePlugin = definePlugin({
  component: 'core',
  compatibleWith: '3.123.1',
  package: 'pulpcore',
  module: 'pulpcore.app',
  resources: [
    accessPolicy,
    role,
    apiToken,
    artifact,
    artifactDistribution,
    auditEntry,
    compositeGuard,
    contentRedirect,
    envVarHeaderGuard,
    genericContent,
    genericDistribution,
    genericGuard,
    genericRemote,
    genericRepository,
    group,
    groupRoles,
    groupUsers,
    headerGuard,
    publication,
    rbacGuard,
    repositoryVersions,
    signingService,
    task,
    taskGroup,
    taskSchedule,
    upload,
    user,
    userRoles,
    worker,
  ],
  roles: { ...otherRoles, ...auditRoles },
  conditions: coreConditions,
  scopes: coreScopes,
  tasks: [...generalTasks, commitUpload, deleteVersion, orphanCleanup, purgeTasks, reclaimSpace, repairAll, repairVersion],
  signingClasses: [asciiArmoredDetached],
  operations: [...statusOperations, ...docsOperations, ...loginOperations, ...upkeepOperations],
});
