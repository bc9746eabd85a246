/** The steps of a path into JSON: names of members, places in lists. */
export type JsonPath = readonly (string | number)[];

/** One step: `.name`, `."a name"`, `["a name"]`, `[0]`, each with a `?` or without. */
const STEP = /\s*(?:\.([A-Za-z_]\w*)|\.?\[\s*(-?\d{1,9})\s*\]|\.?\[\s*("(?:[^"\\]|\\.)*")\s*\]|\.("(?:[^"\\]|\\.)*"))\??/y;
/** The whole of what came before. */
const IDENTITY = /\.(?=\s|\||$)/y;
const PIPE = /\s*\|\s*(?=\.)/y;

/** Reads a jq filter that is a path, or several with pipes between them; undefined where it is anything else. */
export function parseJsonPath(filter: string): JsonPath | undefined {
  const text = filter.trim();
  if (!text.startsWith('.')) return undefined;
  const steps: (string | number)[] = [];
  let at = 0;
  let begins = true;
  const read = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  while (at < text.length) {
    const [step, name, index, ...quoted] = read(STEP) ?? [];
    if (step === undefined) {
      if (!read(begins ? IDENTITY : PIPE)) return undefined;
      begins = !begins;
      continue;
    }
    begins = false;
    const member = name ?? unquoted(quoted.find((part) => part !== undefined));
    if (index === undefined && member === undefined) return undefined;
    steps.push(index === undefined ? (member as string) : Number(index));
  }
  return steps;
}

/** A string as JSON has it: jq's own escapes, which compute something, are not read. */
function unquoted(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as string;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What is at the path; undefined where jq would say null, or that a value has no such part. */
export function valueAt(json: unknown, path: JsonPath): unknown {
  let value = json;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    if (typeof step === 'number') value = Array.isArray(value) ? value.at(step) : undefined;
    else value = !Array.isArray(value) && Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
  }
  return value;
}
