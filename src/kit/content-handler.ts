import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Services } from './services.ts';

/** A distribution whose content is asked for. */
export interface ServedPath {
  readonly distribution: {
    readonly id: string;
    readonly base_path: string;
    readonly repository_id: string | null;
    readonly repository_version_id: string | null;
  };
  /** What follows the base path, decoded: `config`, `objects/ab/cd…`; '' for the distribution itself. */
  readonly path: string;
}

/** How a plugin serves the files of its distributions below `/pulp/content/<base_path>/`. */
export interface ContentHandler {
  /** Of the distributions it serves: `ostree.ostree`. */
  readonly pulp_type: string;
  /** Answers a GET or HEAD; false, with nothing sent, where there is no such file. */
  readonly serve: (
    services: Services,
    served: ServedPath,
    http: { readonly request: IncomingMessage; readonly response: ServerResponse },
  ) => Promise<boolean>;
}
