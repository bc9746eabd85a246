/** A challenge of `WWW-Authenticate`: scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const SPACES = /[ \t]+/y;
const COMMAS = /[ \t,]*/y;

/** Reads a text by sticky expressions. */
class Scanner {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text;
  }
  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }
  /** The match at the current place, which is then passed; undefined where there is none. */
  take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at;
    const match = expression.exec(this.#text);
    if (!match) return undefined;
    this.#at += match[0].length;
    return match;
  }
  /** Runs `read`; goes back to where it was if that answers undefined. */
  attempt<T>(read: () => T | undefined): T | undefined {
    const start = this.#at;
    const result = read();
    if (result === undefined) this.#at = start;
    return result;
  }
}

/**
 * The challenges of a `WWW-Authenticate` header by the grammar of RFC 9110, 11.6.1: several in one value, quoted strings with
 * commas and `=`, token68. Reads up to the first thing that is outside the grammar.
 */
export function parseChallenges(header: string): Challenge[] {
  const scanner = new Scanner(header);
  const challenges: Challenge[] = [];
  scanner.take(COMMAS);
  while (!scanner.atEnd) {
    const scheme = scanner.take(TOKEN)?.[0];
    if (scheme === undefined) break;
    const parameters = new Map<string, string>();
    if (scanner.take(SPACES) && !scanner.attempt(() => scanner.take(TOKEN68))) readParameters(scanner, parameters);
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
    scanner.take(COMMAS);
  }
  return challenges;
}

function readParameters(scanner: Scanner, parameters: Map<string, string>): void {
  for (;;) {
    const parameter = scanner.attempt(() => {
      scanner.take(COMMAS);
      const name = scanner.take(TOKEN)?.[0];
      // A name without `=` is the scheme of the next challenge.
      if (name === undefined || !scanner.take(EQUALS)) return undefined;
      const quoted = scanner.take(QUOTED)?.[1];
      const value = quoted === undefined ? scanner.take(TOKEN)?.[0] : quoted.replaceAll(/\\([\s\S])/g, '$1');
      return value === undefined ? undefined : { name: name.toLowerCase(), value };
    });
    if (!parameter) return;
    if (!parameters.has(parameter.name)) parameters.set(parameter.name, parameter.value);
  }
}
