import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** For `{ skip: missing('podman') }`: false when all programs are on PATH, else the reason to skip, naming the first that is not. */
export function missing(...programs: readonly string[]): string | false {
  const absent = programs.find((program) => !isOnPath(program));
  return absent === undefined ? false : `${absent} is not installed`;
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
