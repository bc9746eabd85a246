import { acceptUploads, checkRelativePath, defineContent } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { text } from '../../../kit/wire.ts';
import { uploadedContentPolicy } from '../access/policies.ts';
import { CONTENTS, UNIQUE_IN_VERSION } from '../content/content-tables.ts';
import { publishOstreeVersion } from '../content/publish-version.ts';
import { parseFilePath } from '../serve/file-path.ts';
import { ostreeRepository } from './repository.ts';

/** Throws ValidationError for a path at which a unit of another kind is served. */
function checkKind(path: string): void {
  const { kind } = parseFilePath(path);
  if (kind !== 'content')
    throw new ValidationError({ relative_path: [`${path} is the place of a ${kind}: it cannot be any file.`] });
}

const content = defineContent({
  plugin: 'ostree',
  endpoint: 'content',
  model: 'OstreeContent',
  pulpType: CONTENTS.pulp_type,
  table: CONTENTS.table,
  policy: uploadedContentPolicy,
  labelStatus: 201,
  title: ['file', 'files'],
  description: 'Any other file of a repository: of a static delta or its index, a signature.',
  fields: {
    relative_path: {
      wire: text({ max: 4096 }),
      required: true,
      description: 'Its path in the repository.',
      resolve: (value) => {
        checkRelativePath('relative_path', String(value));
        checkKind(String(value));
        return { relative_path: value };
      },
    },
    digest: { wire: text({ max: 64 }), required: true, description: 'sha256 of the file.' },
  },
  ordering: { pk: 'm.id' },
  select: sql`d.relative_path, d.digest`,
});

/** A file that is nothing but its path and bytes. */
export const ostreeContentUnit = acceptUploads(content, {
  table: CONTENTS.table,
  key: CONTENTS.key,
  repository: ostreeRepository,
  unique: UNIQUE_IN_VERSION,
  publish: publishOstreeVersion,
});
