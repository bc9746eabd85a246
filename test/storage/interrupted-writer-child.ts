// Run and killed by the tests here: stores files under the folder in argv without end, small ones alone where it says so, and
// says which are durable.
import { randomBytes } from 'node:crypto';
import { filesystemStorage } from '../../src/storage/filesystem.ts';
import { keyOf } from './conformance.ts';
import { silentLog } from './silent-log.ts';

const storage = await filesystemStorage({ root: process.argv[2] as string, log: silentLog });
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function putSmallFiles(bytes: number): Promise<void> {
  for (;;) {
    const files = Array.from({ length: 8 }, () => {
      const body = randomBytes(bytes);
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

if (process.argv[3] === 'small') {
  await putSmallFiles(2_000);
} else {
  const unfinished = await storage.create();
  await unfinished.write(randomBytes(100_000));
  // Large enough that the end comes in the middle of one, and small enough for the journal.
  await Promise.all([putSmallFiles(1_500_000), putSmallFiles(20_000), commitFiles()]);
}
