import { parentPort, workerData } from 'node:worker_threads';
import { hexOf, parseDigest } from '../../src/lib/digest.ts';

const digest = parseDigest(`sha256:${'ab'.repeat(32)}`);
parentPort?.postMessage(`echo ${String(workerData)}, ${digest ? hexOf(digest).length : 'no'} digits`);
parentPort?.on('message', () => process.exit());
