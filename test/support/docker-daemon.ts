import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../queue/eventually.ts';
import type { RegistryClient } from './registry-client.ts';

/** A Docker daemon of a test's own, and the command line that speaks to it. */
export interface DockerDaemon {
  /** Runs `docker ARGUMENT…`; answers what it prints. */
  docker(...args: readonly string[]): Promise<string>;
  /** Runs `ctr ARGUMENT…` with the daemon's containerd. */
  ctr(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

const START_MS = 60_000;

/**
 * Starts a daemon in the client's folder: it runs no containers, so it needs neither network nor cgroups, but it has to be run by root. Needs
 * `dockerd`, `docker` and `ctr`.
 */
export async function startDocker({ folder, run }: RegistryClient): Promise<DockerDaemon> {
  const config = join(folder, 'daemon.json');
  await writeFile(config, '{}');
  const at = (name: string): string => join(folder, name);
  const socket = `unix://${at('docker.sock')}`;
  const daemon = spawn(
    'dockerd',
    [
      ...['--config-file', config, '--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid'), '-H', socket],
      ...['--storage-driver', 'vfs', '--bridge', 'none', '--iptables=false', '--ip6tables=false'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-4000);
  });
  const ended = once(daemon, 'exit');
  const docker: DockerDaemon['docker'] = async (...args) => (await run('docker', ['-H', socket, ...args])).stdout.trim();
  const stop = async (): Promise<void> => {
    daemon.kill('SIGTERM');
    await ended;
  };
  try {
    await eventually(
      'the Docker daemon answers',
      async () => {
        if (daemon.exitCode !== null) throw new Error(`dockerd ended: ${said}`);
        return docker('version').catch(() => undefined);
      },
      START_MS,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const containerd = at('exec/containerd/containerd.sock');
  return { docker, ctr: async (...args) => (await run('ctr', ['--address', containerd, ...args])).stdout.trim(), stop };
}
