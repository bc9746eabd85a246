import type { TaskDefinition } from './define-task.ts';

/** A kind of content, as hrefs and summaries need it: `container.blob` lives at `/pulp/api/v3/content/container/blobs/`. */
export interface ContentType {
  readonly pulp_type: string;
  readonly collection: string;
  /** PRN model name: `container.blob` -> `Blob`. */
  readonly model: string;
}

/** What all plugins together declare; made once by src/services.ts from src/plugins.ts. */
export interface Catalog {
  readonly versions: Readonly<Record<string, string>>;
  contentType(pulpType: string): ContentType;
  task(name: string): TaskDefinition | undefined;
}
