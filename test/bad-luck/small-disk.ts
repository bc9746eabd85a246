import { execFileSync } from 'node:child_process';
import { mkdtempSync, statfsSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why a test is skipped that needs a disk of its own. */
export const CANNOT_MOUNT = 'this user cannot mount a tmpfs';

/** Mounts a file system of so many bytes in a new folder; undefined where this user may not. */
export function mountDisk(bytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'deckle-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    return undefined;
  }
}

/** Leaves so many bytes free. */
export function makeRoom(disk: string, bytes: number): void {
  const { bsize, blocks, bfree } = statfsSync(disk);
  execFileSync('mount', ['-o', `remount,size=${(blocks - bfree) * bsize + bytes}`, disk]);
}

export async function unmount(disk: string): Promise<void> {
  execFileSync('umount', [disk]);
  await rmdir(disk);
}
