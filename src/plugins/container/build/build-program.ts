import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MissingProgramError, ProgramError, runProgram } from '../../../lib/run-program.ts';

/** Longer than any image takes. */
const MAX_BUILD_MS = 2 * 60 * 60 * 1000;
const MAX_CHECK_MS = 30_000;
const MAX_LOG_BYTES = 16 * 1024 * 1024;

/** The image was not built. The message is the end of what the program said. */
export class BuildError extends Error {
  override readonly name = 'BuildError';
  /** As Pulp has it. */
  readonly error_code = 'CON0001';
}

/** A folder in which an image is built. It has `Containerfile` and `context/`, and gets `image/`, an OCI image layout. */
export interface BuildFolder {
  readonly path: string;
  /** Bytes that a file may have which is written meanwhile. */
  readonly mostBytes: number;
  readonly signal: AbortSignal;
}

/** What the program is told of the worker's environment: how it gets to registries, and nothing else. */
const KEPT = [
  'PATH',
  ...['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()]),
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'CONTAINERS_REGISTRIES_CONF',
];
const KEEP = KEPT.map((name) => `\${${name}+"${name}=$${name}"}`).join(' ');

/** Where the folder of the build is in its own tree of mounts: users that own nothing else get there. */
const MOUNTED = '/mnt';
/** Users of the build, where root runs it: they are far from those of people, of services and of other containers. */
const USERS = '0:1879048192:65536';

/** The file size is given to `ulimit` in blocks of 512 bytes. */
const RUN = `ulimit -f "$1" && cd "$0" && shift && exec env -i ${KEEP} HOME="$PWD" TMPDIR="$PWD" XDG_RUNTIME_DIR="$PWD" "$@"`;
const MOUNT_AND_RUN = `mount --bind "$0" ${MOUNTED} && exec sh -c "$@"`;

/** Ends with this process, if that is killed. */
const ENDING = ['--pdeathsig', 'KILL'];
/** Has processes and mounts of its own, too, which end with it. */
const ALONE = [...ENDING, 'unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** Buildah, or podman where it is not there. Throws BuildError where neither is. */
async function findProgram({ path, signal }: BuildFolder): Promise<string> {
  for (const program of ['buildah', 'podman']) {
    try {
      await runProgram(program, ['--version'], { cwd: path, variables: {}, limitMs: MAX_CHECK_MS, signal });
      return program;
    } catch (error) {
      if (!(error instanceof MissingProgramError)) throw error;
    }
  }
  throw new BuildError('Neither buildah nor podman is installed on this worker (not found on PATH): one of them builds images.');
}

const isRoot = (): boolean => process.getuid?.() === 0;

interface Wrapped {
  readonly program: string;
  /** Where the program has the folder. */
  readonly at: string;
}

const wrappedIn = async (folder: BuildFolder): Promise<Wrapped> => ({
  program: await findProgram(folder),
  at: isRoot() ? MOUNTED : folder.path,
});

async function runIn(folder: BuildFolder, { program, at }: Wrapped, args: readonly string[]): Promise<void> {
  const inside = [RUN, at, String(Math.ceil(folder.mostBytes / 512)), program, ...args];
  const alone = isRoot() ? [...ALONE, 'sh', '-c', MOUNT_AND_RUN, folder.path, ...inside] : [...ENDING, 'sh', '-c', ...inside];
  const options = { cwd: folder.path, variables: {}, limitMs: MAX_BUILD_MS, mostOutput: MAX_LOG_BYTES, signal: folder.signal };
  try {
    await runProgram('setpriv', alone, options);
  } catch (error) {
    throw error instanceof ProgramError || error instanceof MissingProgramError
      ? new BuildError(`The image was not built: ${error.message}`, { cause: error })
      : error;
  }
}

/**
 * Builds the image of a folder. What its instructions run has users, processes and mounts of its own: where root runs this, by namespaces that are
 * made here, elsewhere by those that the program makes for who is not root. It has the worker's network. Throws BuildError, or the signal's reason.
 */
export async function buildImage(folder: BuildFolder): Promise<void> {
  const wrapped = await wrappedIn(folder);
  const { at } = wrapped;
  const storage = ['--root', `${at}/storage`, '--runroot', `${at}/run`, '--storage-driver', 'vfs'];
  const users = isRoot() ? [`--userns-uid-map=${USERS}`, `--userns-gid-map=${USERS}`] : [];
  // Proxies may be named with passwords: they are for the pulls, and not for what an instruction runs.
  const options = ['--isolation=chroot', '--http-proxy=false', '--format=oci', '--layers=false', ...users];
  const what = ['--file', `${at}/Containerfile`, '--tag', 'built', `${at}/context`];
  await runIn(folder, wrapped, [...storage, 'build', ...options, ...what]);
  await runIn(folder, wrapped, [...storage, 'push', '--format=oci', 'built', `oci:${at}/image:built`]);
}

/** Removes what a build has left in its folder that is another user's, as files are in a build that root does not run. */
export async function clearBuild(folder: BuildFolder): Promise<void> {
  if (isRoot() || !existsSync(join(folder.path, 'storage'))) return;
  const wrapped = await wrappedIn(folder);
  await runIn(folder, wrapped, ['unshare', 'rm', '-rf', `${wrapped.at}/storage`, `${wrapped.at}/run`]);
}
