import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** What processes used between two moments. */
export interface Usage {
  /** CPU seconds, user and system, of all processes. */
  cpuSeconds: number;
  /** CPU seconds by kind of process. */
  cpuByRole: Record<string, number>;
  /** Largest resident set (VmHWM) of any one process of a kind, MB. */
  peakMegabytes: Record<string, number>;
  /** The same without the program's files, which its processes share (RssAnon and RssShmem, seen five times a second). */
  peakOwnMegabytes: Record<string, number>;
}

/** Which processes belong to a subject, and what kind each is. */
export interface ProcessGroup {
  /** Ids of the processes alive now. */
  pids(): number[];
  /** A short word such as `worker` or `database`, from a command line. */
  role(commandLine: string): string;
}

// The kernel's clock ticks: USER_HZ is 100 on every Linux that Node runs on.
const TICKS = 100;

/** Measures the CPU and peak memory of a group of processes from /proc (Linux only; elsewhere everything is 0). */
export class UsageMeter {
  readonly #group: ProcessGroup;
  readonly #start: Map<number, { role: string; cpu: number }>;
  readonly #last = new Map<number, { role: string; cpu: number }>();
  readonly #peaks = new Map<string, number>();
  readonly #ownPeaks = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** Starts measuring; peaks count from now on where the kernel lets us reset them. */
  constructor(group: ProcessGroup) {
    this.#group = group;
    for (const pid of group.pids()) resetPeak(pid);
    this.#start = new Map();
    for (const pid of group.pids()) {
      const sample = this.#sample(pid);
      if (sample !== null) this.#start.set(pid, sample);
    }
    // Processes that come and go in between (a worker's child for one task) are seen by looking now and then.
    this.#timer = setInterval(() => this.#look(), 200);
    this.#timer.unref();
  }

  stop(): Usage {
    clearInterval(this.#timer);
    this.#look();
    const cpuByRole: Record<string, number> = {};
    for (const [pid, { role, cpu }] of this.#last) {
      cpuByRole[role] = (cpuByRole[role] ?? 0) + cpu - (this.#start.get(pid)?.cpu ?? 0);
    }
    const cpuSeconds = Object.values(cpuByRole).reduce((sum, seconds) => sum + seconds, 0);
    return {
      cpuSeconds,
      cpuByRole,
      peakMegabytes: Object.fromEntries(this.#peaks),
      peakOwnMegabytes: Object.fromEntries(this.#ownPeaks),
    };
  }

  #look(): void {
    const alive = new Set(this.#group.pids());
    for (const pid of alive) {
      const sample = this.#sample(pid);
      if (sample === null) continue;
      this.#last.set(pid, sample);
      const { peak, own } = memoryOf(pid);
      this.#peaks.set(sample.role, Math.max(this.#peaks.get(sample.role) ?? 0, peak));
      this.#ownPeaks.set(sample.role, Math.max(this.#ownPeaks.get(sample.role) ?? 0, own));
    }
    // An ended child's time is in its parent's by now; counting both would double it.
    for (const pid of this.#last.keys()) if (!alive.has(pid)) this.#last.delete(pid);
  }

  #sample(pid: number): { role: string; cpu: number } | null {
    const stat = readProc(pid, 'stat');
    const commandLine = readProc(pid, 'cmdline');
    if (stat === null || commandLine === null) return null;
    return { role: this.#group.role(commandLine.replaceAll('\0', ' ')), cpu: cpuOf(stat) };
  }
}

/** Seconds of CPU that this process's ended children have used so far. */
export function endedChildrenCpu(): number {
  const fields = statFields(readProc(process.pid, 'stat'));
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) / TICKS;
}

/** A process and all its descendants alive now. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of allPids()) {
    const parent = Number(statFields(readProc(pid, 'stat'))[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Processes whose command line fits a pattern. */
export function processesLike(pattern: RegExp): number[] {
  return allPids().filter((pid) => pid !== process.pid && pattern.test(readProc(pid, 'cmdline')?.replaceAll('\0', ' ') ?? ''));
}

function allPids(): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Fields of /proc/<pid>/stat after the command's name: [0] is the state, [1] the parent, [11] utime … [14] cstime. */
function statFields(stat: string | null): string[] {
  return stat === null ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function cpuOf(stat: string): number {
  return (
    statFields(stat)
      .slice(11, 15)
      .reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS
  );
}

/** Megabytes. */
function memoryOf(pid: number): { readonly peak: number; readonly own: number } {
  const status = readProc(pid, 'status') ?? '';
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return { peak: of('VmHWM'), own: of('RssAnon') + of('RssShmem') };
}

/** Lets VmHWM count anew; processes of another user may forbid it, then the peak is that since their start. */
function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch (error) {
    if (!isGoneOrForbidden(error)) throw error;
  }
}

function readProc(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch (error) {
    if (isGoneOrForbidden(error)) return null;
    throw error;
  }
}

function isGoneOrForbidden(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM';
}
