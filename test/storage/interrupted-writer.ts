// Run and killed by filesystem.test.ts: stores files under the folder in argv without end, and says which are durable.
import { randomBytes } from 'node:crypto';
import { filesystemStorage } from '../../src/storage/filesystem.ts';
import { keyOf } from './conformance.ts';
import { silentLog } from './silent-log.ts';

const storage = await filesystemStorage({ root: process.argv[2] as string, log: silentLog });
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function putSmallFiles(): Promise<void> {
  for (;;) {
    const files = Array.from({ length: 8 }, () => {
      // Large enough that the end comes in the middle of one.
      const body = randomBytes(1_500_000);
      return { key: keyOf(body), body };
    });
    await storage.putSmall(files);
    for (const { key } of files) say(key);
  }
}

async function commitFiles(): Promise<void> {
  for (;;) {
    const body = randomBytes(1_000_000);
    const file = await storage.create();
    await file.write(body.subarray(0, 600_000));
    await file.write(body.subarray(600_000));
    await file.commit(keyOf(body));
    say(keyOf(body));
  }
}

const unfinished = await storage.create();
await unfinished.write(randomBytes(100_000));
await Promise.all([putSmallFiles(), putSmallFiles(), commitFiles()]);
