import type { Progress } from '../../../kit/define-task.ts';

/**
 * The report of a round of references: counts the references whose manifest is at hand, and is complete as soon as no manifest
 * is waited for, while blobs may still be on their way.
 */
export class ManifestProgress {
  readonly #report: Progress;
  #open = 0;
  #sealed = false;

  constructor(report: Progress) {
    this.#report = report;
  }

  setTotal(references: number): void {
    this.#report.setTotal(references);
  }

  /** So many more manifests are waited for. */
  begin(count = 1): void {
    this.#open += count;
  }

  /** One is at hand, and those that it lists are announced. */
  end(): void {
    this.#open -= 1;
    this.#completeIfDone();
  }

  /** A selected reference's own manifest is at hand. */
  countReference(): void {
    this.#report.increment();
  }

  /** All references have begun. */
  seal(): void {
    this.#sealed = true;
    this.#completeIfDone();
  }

  /** Runs a step of this stage: its error, but no abort, is what the report shows. */
  async reporting<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!signal.aborted) this.#report.fail();
      throw error;
    }
  }

  #completeIfDone(): void {
    if (this.#sealed && this.#open === 0) this.#report.complete();
  }
}
