import { type Checksum, checksumToBytes, parseChecksum } from './checksum.ts';

/** A static delta: what leads from one commit (undefined: from nothing) to another. */
export interface DeltaName {
  readonly from: Checksum | undefined;
  readonly to: Checksum;
}

/** `from-to` or `to`, in hexadecimal: how a summary and a delta index name it. */
export const deltaNameText = ({ from, to }: DeltaName): string => (from === undefined ? to : `${from}-${to}`);

/** The delta that a summary or a delta index names, or undefined where the text names none. */
export function parseDeltaName(text: string): DeltaName | undefined {
  const [first, second, ...more] = text.split('-').map(parseChecksum);
  if (more.length > 0 || first === undefined) return undefined;
  if (!text.includes('-')) return { from: undefined, to: first };
  return second === undefined ? undefined : { from: first, to: second };
}

/** 43 characters of base64, with `_` for `/`; `+` stays. */
const encode = (checksum: Checksum): string =>
  checksumToBytes(checksum).toString('base64').replaceAll('/', '_').replace(/=+$/, '');

function decode(text: string): Checksum | undefined {
  const checksum = parseChecksum(Buffer.from(text.replaceAll('_', '/'), 'base64').toString('hex'));
  return checksum !== undefined && encode(checksum) === text ? checksum : undefined;
}

const split = (text: string): string => `${text.slice(0, 2)}/${text.slice(2)}`;

/** `deltas/AA/rest` from nothing, `deltas/FF/rest-TO` else: the folder of a delta's files. */
export const deltaFolder = ({ from, to }: DeltaName): string =>
  `deltas/${split(from === undefined ? encode(to) : `${encode(from)}-${encode(to)}`)}`;

export const superblockPath = (delta: DeltaName): string => `${deltaFolder(delta)}/superblock`;

/** Part `index`, from 0. */
export const deltaPartPath = (delta: DeltaName, index: number): string => `${deltaFolder(delta)}/${index}`;

/** `delta-indexes/TT/rest.index`: the deltas to a commit. */
export const deltaIndexPath = (to: Checksum): string => `delta-indexes/${split(encode(to))}.index`;

const DELTA_PATH = /^deltas\/([A-Za-z0-9+_]{2})\/([A-Za-z0-9+_]{41})(?:-([A-Za-z0-9+_]{43}))?\/(superblock|0|[1-9][0-9]{0,5})$/;
const INDEX_PATH = /^delta-indexes\/([A-Za-z0-9+_]{2})\/([A-Za-z0-9+_]{41})\.index$/;

/** The delta and the file of it (`superblock` or the number of a part) that a path names, or undefined where it names none. */
export function parseDeltaPath(path: string): { readonly delta: DeltaName; readonly file: 'superblock' | number } | undefined {
  const [, folder, rest, target, file] = DELTA_PATH.exec(path) ?? [];
  const first = decode(`${folder}${rest}`);
  const second = target === undefined ? first : decode(target);
  if (first === undefined || second === undefined) return undefined;
  const delta = { from: target === undefined ? undefined : first, to: second };
  return { delta, file: file === 'superblock' ? file : Number(file) };
}

/** The commit that a path of a delta index is of, or undefined where it is of none. */
export function parseDeltaIndexPath(path: string): Checksum | undefined {
  const [, folder, rest] = INDEX_PATH.exec(path) ?? [];
  return decode(`${folder}${rest}`);
}
