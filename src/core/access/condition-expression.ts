/** A text that is no combination of conditions; the message says where. */
export class ConditionSyntaxError extends Error {
  override readonly name = 'ConditionSyntaxError';
}

/** Conditions combined as policies state them: `not a or (b:c and d)`. */
export type ConditionTree =
  | { readonly kind: 'condition'; readonly name: string; readonly argument: string }
  | { readonly kind: 'not'; readonly part: ConditionTree }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly ConditionTree[] };

const TOKEN = /\s*([()]|[^\s()]+)/gy;
const MAX_LENGTH = 4_000;
const MAX_DEPTH = 50;

/** One condition: `<name>` or `<name>:<argument>`. */
export function oneCondition(text: string): ConditionTree {
  const colon = text.indexOf(':');
  return colon < 0
    ? { kind: 'condition', name: text, argument: '' }
    : { kind: 'condition', name: text.slice(0, colon), argument: text.slice(colon + 1) };
}

/** Reads a combination; `not` binds closer than `and`, `and` closer than `or`. Throws ConditionSyntaxError. */
export function parseConditions(text: string): ConditionTree {
  if (text.length > MAX_LENGTH) throw new ConditionSyntaxError(`longer than ${MAX_LENGTH} characters`);
  const tokens = [...text.matchAll(TOKEN)].map((match) => match[1] as string);
  let at = 0;
  const combined = (word: 'or' | 'and', next: (depth: number) => ConditionTree, depth: number): ConditionTree => {
    const first = next(depth);
    const parts = [first];
    while (tokens[at] === word) {
      at += 1;
      parts.push(next(depth));
    }
    return parts.length === 1 ? first : { kind: word, parts };
  };
  const anyOf = (depth: number): ConditionTree => combined('or', allOf, depth);
  const allOf = (depth: number): ConditionTree => combined('and', single, depth);
  const single = (depth: number): ConditionTree => {
    if (depth > MAX_DEPTH) throw new ConditionSyntaxError(`nested deeper than ${MAX_DEPTH}`);
    const token = tokens[at];
    at += 1;
    if (token === 'not') return { kind: 'not', part: single(depth + 1) };
    if (token === '(') {
      const inner = anyOf(depth + 1);
      if (tokens[at] !== ')') throw new ConditionSyntaxError('a parenthesis is not closed');
      at += 1;
      return inner;
    }
    if (token === undefined) throw new ConditionSyntaxError('it ends where a condition is expected');
    if (token === ')' || token === 'and' || token === 'or')
      throw new ConditionSyntaxError(`"${token}" stands where a condition is expected`);
    return oneCondition(token);
  };
  const tree = anyOf(0);
  if (at < tokens.length) throw new ConditionSyntaxError(`"${tokens[at]}" is too much`);
  return tree;
}

/** The names of all conditions in it. */
export const conditionNames = (tree: ConditionTree): string[] =>
  tree.kind === 'condition' ? [tree.name] : tree.kind === 'not' ? conditionNames(tree.part) : tree.parts.flatMap(conditionNames);
