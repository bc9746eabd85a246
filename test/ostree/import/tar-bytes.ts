/** An entry as a tar may have it, well-made or not. */
export interface WrittenEntry {
  readonly path: string;
  readonly body?: Buffer | string;
  /** The type flag; default: a file. */
  readonly type?: string;
  readonly link?: string;
  /** What the header says instead of the body's size: digits, or the twelve bytes. */
  readonly size?: string;
}

const BLOCK = 512;
const MAX_PATH = 100;

/** One entry: its header, and the body filled up to a block; before it, where its path is long, an entry that says the path. */
export function tarEntry(entry: WrittenEntry): Buffer {
  if (Buffer.byteLength(entry.path) <= MAX_PATH) return plainEntry(entry);
  return Buffer.concat([plainEntry({ path: 'long', type: 'L', body: `${entry.path}\0` }), plainEntry(entry)]);
}

function plainEntry({ path, body = '', type = '0', link = '', size }: WrittenEntry): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0, MAX_PATH);
  header.write('0000644\x000000000\x000000000\0', 100);
  header.write(size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`, 124, 12, 'latin1');
  header.write('00000000000\0        ', 136);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** A whole tar. */
export const tarBytes = (entries: readonly WrittenEntry[]): Buffer =>
  Buffer.concat([...entries.map(tarEntry), Buffer.alloc(2 * BLOCK)]);

/** A header before an entry that says more of it (PAX): `path`, `size`, … */
export function paxHeader(values: Readonly<Record<string, string>>, type = 'x'): WrittenEntry {
  const records = Object.entries(values).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    const bytes = Buffer.byteLength(rest);
    let length = bytes + String(bytes).length;
    if (bytes + String(length).length !== length) length += 1;
    return `${length}${rest}`;
  });
  return { path: 'PaxHeader', type, body: records.join('') };
}
