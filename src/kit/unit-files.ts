import type { WantedFile } from './served-file.ts';

/** How the stored file of a unit is had again. */
export type UnitFile =
  | { readonly made: Buffer }
  /** From a remote: what has ended well is right, though it may be another form of it. */
  | { readonly fetched: WantedFile };

/** How a plugin gets the stored files of its units again. */
export interface UnitFiles {
  /** Ways by the ids of units; a unit that the plugin does not know is absent. */
  find(unitIds: readonly string[]): Promise<ReadonlyMap<string, UnitFile>>;
  close(): Promise<void>;
}
