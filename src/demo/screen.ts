import type { WriteStream } from 'node:tty';
import type { ProgressReport } from './rest-client.ts';

const BAR_WIDTH = 28;
const LABEL_WIDTH = 26;

/** What the demo writes to: bars that move on a terminal, plain lines elsewhere. */
export class Screen {
  readonly #out: WriteStream;
  #barLines = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  heading(text: string): void {
    this.#out.write(`\n${this.#bold(text)}\n`);
  }

  line(text: string): void {
    this.#out.write(`  ${text}\n`);
  }

  /** Shows a task's progress; on a terminal over what the last call showed. Elsewhere only `final` is written. */
  progress(reports: readonly ProgressReport[], final: boolean): void {
    if (!this.#out.isTTY && !final) return;
    if (this.#barLines > 0) this.#out.write(`\x1b[${this.#barLines}A`);
    for (const report of reports)
      this.#out.write(`  ${progressLine(report, this.#out.isTTY)}${this.#out.isTTY ? '\x1b[K' : ''}\n`);
    this.#barLines = final || !this.#out.isTTY ? 0 : reports.length;
  }

  #bold(text: string): string {
    return this.#out.isTTY ? `\x1b[1m${text}\x1b[0m` : text;
  }
}

function progressLine({ message, state, done, total }: ProgressReport, withBar: boolean): string {
  const label = message.padEnd(LABEL_WIDTH);
  const count = total === null ? String(done) : `${done}/${total}`;
  if (!withBar) return `${label} ${count} (${state})`;
  const share = state === 'completed' || total === 0 ? 1 : total === null ? 0 : done / total;
  const filled = Math.round(Math.min(1, share) * BAR_WIDTH);
  return `${label} ${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${count}`;
}
