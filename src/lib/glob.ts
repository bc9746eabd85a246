type Token = '*' | ((character: string) => boolean);

/**
 * A shell pattern as a test: `*` any text, `?` one character, `[abc]`, `[a-z]` and `[!a]` one of (not of) a set; case sensitive,
 * the whole text (spec: sync, Selection). An unclosed `[` stands for itself, as in Python's fnmatch, which is what Pulp uses.
 */
export function glob(pattern: string): (text: string) => boolean {
  const tokens = tokenize(Array.from(pattern));
  return (text) => matches(tokens, Array.from(text));
}

/** Goes back to the last `*` only: at most length of pattern times length of text steps. */
function matches(tokens: readonly Token[], text: readonly string[]): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length) {
    const current = tokens[token];
    if (current === '*') {
      star = token;
      starAt = at;
      token += 1;
    } else if (current?.(text[at] as string)) {
      token += 1;
      at += 1;
    } else if (star >= 0) {
      starAt += 1;
      at = starAt;
      token = star + 1;
    } else return false;
  }
  return tokens.slice(token).every((rest) => rest === '*');
}

function tokenize(pattern: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] as string;
    const close = character === '[' ? closingBracket(pattern, at) : -1;
    if (character === '*') tokens.push('*');
    else if (character === '?') tokens.push(() => true);
    else if (close > 0) {
      tokens.push(characterSet(pattern.slice(at + 1, close)));
      at = close;
    } else tokens.push((other) => other === character);
  }
  return tokens;
}

/** Where the set that opens at `open` ends, or -1. A `]` that comes first, or first after `!`, belongs to the set. */
function closingBracket(pattern: readonly string[], open: number): number {
  const first = open + (pattern[open + 1] === '!' ? 2 : 1);
  return pattern.indexOf(']', first + 1);
}

/** `content`: what stands between the brackets. A range that runs backwards holds nothing. */
function characterSet(content: readonly string[]): Token {
  const negated = content[0] === '!';
  const members = negated ? content.slice(1) : content;
  const ranges: { readonly from: number; readonly to: number }[] = [];
  for (let at = 0; at < members.length; at += 1) {
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    ranges.push({ from: codePoint(members[at]), to: codePoint(members[isRange ? at + 2 : at]) });
    if (isRange) at += 2;
  }
  return (character) => {
    const code = codePoint(character);
    return ranges.some(({ from, to }) => from <= code && code <= to) !== negated;
  };
}

const codePoint = (character: string | undefined): number => character?.codePointAt(0) as number;
