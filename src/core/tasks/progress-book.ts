import type { Progress } from '../../kit/define-task.ts';

/** A report as it is stored and sent (spec: tasks, progress reports). */
export interface ProgressReport {
  readonly message: string;
  readonly code: string;
  state: 'running' | 'completed' | 'failed' | 'canceled';
  total: number | null;
  done: number;
  suffix: string | null;
}

/** What a task has shown so far; written to its row as a whole. */
export interface TaskRecord {
  readonly progress_reports: readonly ProgressReport[];
  readonly created_resources: readonly string[];
  readonly created_resource_prns: readonly string[];
}

/** At most two writes a second, so that counting costs nothing. */
const WRITE_EVERY_MS = 500;

/** The progress reports and created resources of one run. */
export class ProgressBook {
  readonly #reports: ProgressReport[] = [];
  readonly #created = new Map<string, string>();
  readonly #write: (record: TaskRecord) => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;
  #dirty = false;
  #lastWrite = 0;

  /** `write` stores a record; it handles its own errors. */
  constructor(write: (record: TaskRecord) => Promise<void>) {
    this.#write = write;
  }

  open(code: string, message: string, total?: number): Progress {
    const report: ProgressReport = { message, code, state: 'running', total: total ?? null, done: 0, suffix: null };
    this.#reports.push(report);
    this.#changed();
    const change = (apply: () => void): void => {
      if (this.#closed || report.state !== 'running') return;
      apply();
      this.#changed();
    };
    return {
      increment: (by = 1) =>
        change(() => {
          report.done += by;
        }),
      setTotal: (value) =>
        change(() => {
          report.total = value;
        }),
      setSuffix: (suffix) =>
        change(() => {
          report.suffix = suffix;
        }),
      complete: () =>
        change(() => {
          report.state = 'completed';
        }),
      fail: () =>
        change(() => {
          report.state = 'failed';
        }),
    };
  }

  created(href: string, prn: string): void {
    if (this.#closed) return;
    this.#created.set(href, prn);
    this.#changed();
  }

  /** Writes nothing from here on, waits for the write in hand. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
  }

  /**
   * The record with its open reports closed as a task of this fate leaves them: where one was failed by its stage the others
   * were only cut short.
   */
  record(fate?: 'completed' | 'failed' | 'canceled'): TaskRecord {
    const rest = fate === 'failed' && this.#reports.some(({ state }) => state === 'failed') ? 'canceled' : fate;
    return {
      progress_reports: this.#reports.map((report) => ({
        ...report,
        state: report.state === 'running' && rest ? rest : report.state,
      })),
      created_resources: [...this.#created.keys()],
      created_resource_prns: [...this.#created.values()],
    };
  }

  #changed(): void {
    this.#dirty = true;
    if (this.#timer || this.#closed) return;
    const wait = Math.max(0, this.#lastWrite + WRITE_EVERY_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#lastWrite = Date.now();
      this.#dirty = false;
      this.#writing = this.#write(this.record()).then(() => {
        this.#timer = undefined;
        if (this.#dirty) this.#changed();
      });
    }, wait);
  }
}
