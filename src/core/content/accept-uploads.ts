import type { Queryable } from '../../db/database.ts';
import { insertRow } from '../../db/rows.ts';
import { join, raw, sql } from '../../db/sql.ts';
import type { Columns, Field, Fields, Resource, Store } from '../../kit/define-resource.ts';
import type { TaskContext } from '../../kit/define-task.ts';
import { ValidationError } from '../../kit/errors.ts';
import { prnType } from '../../kit/names.ts';
import { resolveReference } from '../../kit/references.ts';
import { tableStore } from '../../kit/store.ts';
import { bool, reference } from '../../kit/wire.ts';
import { artifact } from '../artifacts/artifact-resource.ts';
import { seeArtifact } from '../artifacts/save-artifacts.ts';
import { refuseOverwrite } from '../repositories/content-overwrite.ts';
import type { PublishedVersion, UniqueInVersion, VersionChange } from '../repositories/publish-version.ts';
import { noteVersion } from '../repositories/version-result.ts';
import { artifactValue } from './content-fields.ts';
import { contentIds } from './content-selection.ts';

/** How units of a kind are made of uploaded files. */
export interface UploadKind {
  /** Its table, and what makes a unit the same as another one of its domain: columns that clients write. */
  readonly table: string;
  readonly key: readonly string[];
  /** The repositories that a unit may be put into at once, and the rules of their versions. */
  readonly repository: Resource;
  readonly unique: readonly UniqueInVersion[];
  readonly publish: (
    context: TaskContext,
    publication: { readonly repository_id: string; readonly change: VersionChange },
  ) => Promise<PublishedVersion | undefined>;
}

const artifactField: Field = {
  wire: reference(),
  required: true,
  description: 'The stored file.',
  value: artifactValue,
  resolve: async (value, { request }) => {
    const { row } = await resolveReference('artifact', String(value), [artifact], request);
    // Orphan cleanup spares it until the task is there, and from then on because the task is.
    if (!(await seeArtifact(request.services.db, row.id as string)))
      throw new ValidationError({ artifact: ['Invalid hyperlink - Object does not exist.'] });
    return { artifact_id: row.id };
  },
};

const repositoryFields = (repository: Resource): Fields => ({
  repository: {
    wire: reference(),
    access: 'write',
    description: 'A repository to add the unit to, in a new version.',
    resolve: async (value, { request }) => {
      const { row } = await resolveReference('repository', String(value), [repository], request);
      await request.services.access.check(request, repository, 'modify', row);
      return { repository_id: row.id };
    },
  },
  overwrite: {
    wire: bool(),
    access: 'write',
    description: 'Whether it may take the place of a unit of that repository that has the same key.',
    resolve: (value) => ({ overwrite: value }),
  },
});

/** A kind of content that clients can make too, of an artifact: by a task that may put it into a repository at once. */
export function acceptUploads(content: Resource, kind: UploadKind): Resource {
  return {
    ...content,
    fields: { ...content.fields, artifact: artifactField, ...repositoryFields(kind.repository) },
    verbs: ['list', 'create', 'read'],
    mutation: { create: 'task' },
    store: uploadStore(content, kind),
    creation: {
      holds: ({ repository_id: id }) => (id ? [`prn:${prnType(kind.repository)}:${id}`] : []),
      after: async (id, { repository_id }, context) => {
        if (typeof repository_id !== 'string') return;
        const version = await kind.publish(context, { repository_id, change: { add: contentIds([id]) } });
        const pulpType = `${kind.repository.plugin}.${kind.repository.endpoint}`;
        if (version) noteVersion(context, { pulpType, repository_id }, version);
      },
    },
  };
}

function uploadStore({ contentType, title }: Resource, kind: UploadKind): Store {
  return {
    ...tableStore({ master: 'content', counted: [] }),
    async insert(tx, { id, domain_id, columns }) {
      const own = Object.fromEntries(kind.key.map((name) => [name, columns[name]]));
      await refuseKnown(tx, kind, domain_id, own, title[0]);
      const { artifact_id, pulp_labels } = columns;
      if (!(await seeArtifact(tx, String(artifact_id)))) throw new Error('The artifact was removed before its content was made.');
      const labels = pulp_labels === undefined ? {} : { pulp_labels };
      await insertRow(tx, 'content', { id, domain_id, pulp_type: contentType, artifact_id, ...labels });
      await insertRow(tx, kind.table, { id, domain_id, ...own });
      if (columns.repository_id && columns.overwrite === false) {
        const present = sql`select content_id from repository_content
          where repository_id = ${columns.repository_id}::uuid and version_removed is null`;
        await refuseOverwrite(tx, [id], present, kind.unique);
      }
    },
  };
}

async function refuseKnown(tx: Queryable, kind: UploadKind, domainId: string, own: Columns, title: string): Promise<void> {
  const same = Object.entries(own).map(([name, value]) => sql`${raw(name)} = ${value}`);
  const [known] = await tx.query<{ id: string }>(
    sql`select id from ${raw(kind.table)} where ${join([sql`domain_id = ${domainId}::uuid`, ...same], ' and ')}`,
  );
  if (!known) return;
  const key = Object.entries(own).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  throw new Error(`There is a ${title} with ${key.join(' and ')} already: ${known.id}`);
}
