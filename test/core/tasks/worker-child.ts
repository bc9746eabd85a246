// A worker in a process of its own: says `ready`, stops in order on SIGTERM.
import { startWorker } from '../../../src/core/tasks/worker.ts';
import { openRig, type RigUrls } from './rig.ts';

const rig = await openRig(JSON.parse(process.argv[2] ?? '') as RigUrls);
const worker = await startWorker(rig.services, { name: process.argv[3] ?? 'child' });
process.once('SIGTERM', async () => {
  await worker.stop();
  await rig.close();
  process.exit(0);
});
process.send?.('ready');
