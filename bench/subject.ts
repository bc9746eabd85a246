import type { Usage } from './process-usage.ts';
import type { Expected } from './workload.ts';

/** One mirroring run. */
export interface Mirrored {
  /** Wall time as a client sees it. */
  seconds: number;
  usage: Usage;
  /** What the mirror holds afterwards; null where a subject cannot tell cheaply. */
  held: Partial<Expected> | null;
}

/** Something that mirrors repositories. */
export interface Subject {
  readonly name: string;
  /** Versions of what takes part, for the report. */
  versions(): Promise<Record<string, string>>;
  /** Gets ready for the first mirroring of a round, with nothing stored of the content to come. */
  open(round: string): Promise<void>;
  /** Mirrors all tags of an upstream repository into one of its own called `name`. */
  mirror(upstreamRepository: string, name: string): Promise<Mirrored>;
  /** Stops what `open` started. Files stay until the end of the run: deleting many would slow the next round's creation. */
  close(): Promise<void>;
}
