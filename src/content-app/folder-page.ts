import type { Folder, FolderEntry } from '../kit/content-handler.ts';

const NAME_COLUMNS = 80;
const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** `2026-11-21T06:51:18.123456Z` -> `2026-11-21 06:51` */
const minutes = (iso: string): string => iso.slice(0, 16).replace('T', ' ');

function line({ name, size, modified }: FolderEntry): string {
  const href = `./${encodeURIComponent(name.replace(/\/$/, ''))}${name.endsWith('/') ? '/' : ''}`;
  const link = `<a href="${escaped(href)}">${escaped(name)}</a>`;
  if (size === undefined && modified === undefined) return link;
  const facts = [modified === undefined ? '' : minutes(modified), size === undefined ? '' : `${size} Bytes`];
  return `${link}${' '.repeat(Math.max(1, NAME_COLUMNS - name.length))}${facts.join('  ').trimEnd()}`;
}

/** A folder as a page of links. `path` is decoded and ends in a slash; `top`: there is nothing above it. */
export function folderPage(path: string, { entries, more }: Folder, top = false): string {
  const title = `Index of ${escaped(path)}`;
  const lines = [...(top ? [] : ['<a href="../">../</a>']), ...entries.map(line)];
  const rest = more ? `only the first ${entries.length} are listed\n` : '';
  return `<!doctype html>\n<html>\n<head><title>${title}</title></head>\n<body>\n<h1>${title}</h1>\n<hr><pre>\n${lines.join('\n')}\n</pre>${rest}<hr>\n</body>\n</html>\n`;
}
