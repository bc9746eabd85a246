import type { Folder, FolderEntry } from '../kit/content-handler.ts';

/** As wide as Pulp's pages. */
const NAME_COLUMNS = 100;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const UNITS = ['kB', 'MB', 'GB', 'TB', 'PB'];

const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** `2026-11-21T06:51:18.123456Z` -> `21-Nov-2026 06:51`, UTC: the form that programs which read such pages know. */
const minutes = (iso: string): string =>
  `${iso.slice(8, 10)}-${MONTHS[Number(iso.slice(5, 7)) - 1]}-${iso.slice(0, 4)} ${iso.slice(11, 16)}`;

/** `1 Byte`, `58 Bytes`, `1.5 kB`: powers of 1000. */
function readableSize(bytes: number): string {
  if (bytes < 1000) return bytes === 1 ? '1 Byte' : `${bytes} Bytes`;
  const power = Math.min(UNITS.length, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${UNITS[power - 1]}`;
}

function line({ name, size, modified }: FolderEntry): string {
  const href = `./${encodeURIComponent(name.replace(/\/$/, ''))}${name.endsWith('/') ? '/' : ''}`;
  const link = `<a href="${escaped(href)}">${escaped(name)}</a>`;
  if (size === undefined && modified === undefined) return link;
  const facts = [modified === undefined ? '' : minutes(modified), size === undefined ? '' : readableSize(size)];
  return `${link}${' '.repeat(Math.max(1, NAME_COLUMNS - name.length))}${facts.join('  ').trimEnd()}`;
}

/** A folder as a page of links. `path` is decoded and ends in a slash; `top`: there is nothing above it. */
export function folderPage(path: string, { entries, more }: Folder, top = false): string {
  const title = `Index of ${escaped(path)}`;
  const lines = [...(top ? [] : ['<a href="../">../</a>']), ...entries.map(line)];
  const rest = more ? `only the first ${entries.length} are listed\n` : '';
  return `<!doctype html>\n<html>\n<head><title>${title}</title></head>\n<body>\n<h1>${title}</h1>\n<hr><pre>\n${lines.join('\n')}\n</pre>${rest}<hr>\n</body>\n</html>\n`;
}
