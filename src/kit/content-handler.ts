import type { ContentFile, DescribedBytes, FileHeaders, ServedVersion } from './served-file.ts';
import type { Services } from './services.ts';

/** A small file that no storage holds. */
export interface MadeFile {
  readonly body: Buffer;
  readonly described: DescribedBytes;
  readonly headers: FileHeaders;
}

/** What is at a path of a version. `lasting`: no version will ever have other bytes at this path. */
export type ServedFile = (ContentFile | MadeFile) & { readonly lasting: boolean };

/** A line of a folder's page. */
export interface FolderEntry {
  /** One part of a path; a folder's ends in `/`. */
  readonly name: string;
  /** Bytes, where they are known. */
  readonly size?: number | undefined;
  /** ISO text, where it is known. */
  readonly modified?: string | undefined;
}

export interface Folder {
  /** In the order of the page. */
  readonly entries: readonly FolderEntry[];
  /** Whether the folder holds more than is listed. */
  readonly more: boolean;
}

/** The files of versions. Paths have no slash at either end; no file and no folder is told from one that is malformed. */
export interface ServedContent {
  /** The file at a path: `config`, `objects/ab/cd….filez`. */
  find(version: ServedVersion, path: string): Promise<ServedFile | undefined>;
  /** The folder at a path, '' for the topmost; undefined where it holds nothing. */
  list(version: ServedVersion, path: string): Promise<Folder | undefined>;
  close(): Promise<void>;
}

/** How a plugin serves the files of its distributions below `/pulp/content/<base_path>/`. */
export interface ContentHandler {
  /** Of the distributions it serves: `ostree.ostree`. */
  readonly pulp_type: string;
  readonly open: (services: Services) => ServedContent;
}
