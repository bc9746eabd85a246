/*
 * The one file of core that a plugin imports: each name from the file that defines it, so that what a plugin can rest on is
 * on one page. The words of the kit are imported from the kit.
 */

export { listenForAccessChanges } from './access/access-changes.ts';
export { heldOn } from './access/held-permissions.ts';
export { roleActions } from './access/role-actions.ts';
export { artifact } from './artifacts/artifact-resource.ts';
export { OnDemandArtifacts } from './artifacts/open-artifact.ts';
export { requireSpace } from './artifacts/require-space.ts';
export {
  assertStored,
  findArtifacts,
  keepWritten,
  type StoredFile,
  saveArtifacts,
  saveNewArtifact,
  seeArtifact,
  seeArtifacts,
  storedFile,
  undoom,
  type WrittenArtifact,
  writtenArtifact,
} from './artifacts/save-artifacts.ts';
export { UnavailableArtifactError } from './artifacts/unavailable-artifact-error.ts';
export { writeAudit } from './audit/audit-log.ts';
export { acceptUploads } from './content/accept-uploads.ts';
export { type BatchedLookup, batchedLookup } from './content/batched-lookup.ts';
export { type Channel, channel } from './content/channel.ts';
export { artifactValue, contentOrdering, unitField, unitText } from './content/content-fields.ts';
export { keyFilters } from './content/content-filters.ts';
export { anyOf, type ContentSelection, contentIds, holdContent, seeContent, seenContent } from './content/content-selection.ts';
export { contentUnits } from './content/content-units.ts';
export { type ContentKind, defineContent } from './content/define-content.ts';
export { type ContentRow, type ContentTable, freshContent, saveContent } from './content/save-content.ts';
export { ContentGuards } from './content-guards/content-guards.ts';
export { contentRedirectGuard } from './content-guards/content-redirect.ts';
export { type GuardedRequest, guardedRequest } from './content-guards/guarded-request.ts';
export { defineDistribution } from './distributions/define-distribution.ts';
export { basePath, baseUrl, checkRelativePath, guardByDefault, requiredGuard } from './distributions/distribution-fields.ts';
export {
  ALL_DISTRIBUTIONS,
  DISTRIBUTION_CHANNEL,
  type ServedDistribution,
  ServedDistributions,
  servedVersion,
} from './distributions/served-distributions.ts';
export { answerFile, UnsettledFileError } from './files/answer-file.ts';
export { matchesEtag } from './files/file-plan.ts';
export { type Http, StoredFiles } from './files/stored-files.ts';
export { fullDiskIn } from './full-disk.ts';
export { defineRemote } from './remotes/define-remote.ts';
export { type LoadedRemote, loadRemote, MissingRemoteError } from './remotes/load-remote.ts';
export { REMOTE_SECRETS } from './remotes/remote-fields.ts';
export { remoteUpstream } from './remotes/remote-upstream.ts';
export { UpstreamClients } from './remotes/upstream-clients.ts';
export { refuseOverwrite } from './repositories/content-overwrite.ts';
export { defineRepository } from './repositories/define-repository.ts';
export { type ModifyArgs, modifyAction, modifyArgs } from './repositories/modify-action.ts';
export { namedVersion } from './repositories/named-version.ts';
export {
  type PublishedVersion,
  publishIn,
  publishVersion,
  type UniqueInVersion,
  type VersionChange,
} from './repositories/publish-version.ts';
export { lockRepository, MissingRepositoryError, REPOSITORY_CHANNEL, tellRepository } from './repositories/repository-lock.ts';
export { syncAction } from './repositories/sync-action.ts';
export { inVersion } from './repositories/version-content.ts';
export { sumOf } from './repositories/version-counts.ts';
export { versionsOf } from './repositories/version-resource.ts';
export { versionResponse } from './repositories/version-response.ts';
export { noteVersion, syncedVersion } from './repositories/version-result.ts';
export { runSigningScript } from './signing/run-script.ts';
export { SigningError } from './signing/signing-error.ts';
export { signingService, signingServiceOf } from './signing/signing-service-resource.ts';
export { isDatabaseAway } from './tasks/database-away.ts';
export { type Authenticator, authenticator, InvalidCredentialsError, type RequestSource } from './users/authenticate.ts';
export { tokenPrnOf } from './users/credential.ts';
export { ThrottledError } from './users/failure-throttle.ts';
