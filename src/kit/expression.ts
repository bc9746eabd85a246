/** A parsed `q`: a tree of filter terms (spec: core, `q` expressions). */
export type Expression =
  | { readonly kind: 'term'; readonly filter: string; readonly value: string }
  | { readonly kind: 'not'; readonly part: Expression }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Expression[] };

export class ExpressionError extends Error {
  override readonly name = 'ExpressionError';
}

const MAX_COMPLEXITY = 8;
// Far above what eight terms can need; keeps the descent shallow whatever is sent.
const MAX_TOKENS = 200;
const SYNTAX = 'Syntax error in expression.';

type Token = { readonly kind: '(' | ')' | '=' | 'word' | 'text'; readonly text: string };

// A backslash keeps a quote from ending the text, and stays: patterns are full of them.
const TOKEN =
  /\s*(?:([()=])|"((?:[^"\\\n\r]|\\.)*)"|'((?:[^'\\\n\r]|\\.)*)'|([\w\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff.,*-]+))/uy;
const FILTER = /^[A-Za-z]\w*$/;

function tokens(source: string): Token[] {
  const found: Token[] = [];
  const pattern = new RegExp(TOKEN);
  let at = 0;
  while (source.slice(at).trim() !== '') {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (!match) throw new ExpressionError(SYNTAX);
    const [, mark, double, single, word] = match;
    const quoted = double ?? single;
    if (mark !== undefined) found.push({ kind: mark as '(' | ')' | '=', text: mark });
    else if (quoted !== undefined) found.push({ kind: 'text', text: quoted });
    else found.push({ kind: 'word', text: word as string });
    at = pattern.lastIndex;
  }
  return found;
}

/** NOT binds tighter than AND, AND tighter than OR; keywords are upper case. Throws ExpressionError. */
export function parseExpression(source: string): Expression {
  const queue = tokens(source);
  if (queue.length > MAX_TOKENS) throw new ExpressionError('Filter expression exceeds allowed complexity.');
  let at = 0;
  const peek = (): Token | undefined => queue[at];
  const take = (kind: Token['kind']): Token => {
    const token = queue[at];
    if (token?.kind !== kind) throw new ExpressionError(SYNTAX);
    at += 1;
    return token;
  };
  const keyword = (word: string): boolean => {
    if (peek()?.kind !== 'word' || peek()?.text !== word) return false;
    at += 1;
    return true;
  };
  const factor = (): Expression => {
    if (keyword('NOT')) return { kind: 'not', part: factor() };
    if (peek()?.kind === '(') {
      at += 1;
      const inner = either();
      take(')');
      return inner;
    }
    const filter = take('word').text;
    if (!FILTER.test(filter)) throw new ExpressionError(SYNTAX);
    take('=');
    const value = peek()?.kind === 'text' ? take('text') : take('word');
    return { kind: 'term', filter, value: value.text };
  };
  const group = (word: 'AND' | 'OR', next: () => Expression): Expression => {
    const first = next();
    const parts = [first];
    while (keyword(word)) parts.push(next());
    return parts.length === 1 ? first : { kind: word === 'AND' ? 'and' : 'or', parts };
  };
  const both = (): Expression => group('AND', factor);
  const either = (): Expression => group('OR', both);
  const expression = either();
  if (at !== queue.length) throw new ExpressionError(SYNTAX);
  if (complexity(expression) > MAX_COMPLEXITY) throw new ExpressionError('Filter expression exceeds allowed complexity.');
  return expression;
}

/** One a term, one more a NOT and a group of ANDs or ORs. */
function complexity(expression: Expression): number {
  if (expression.kind === 'term') return 1;
  if (expression.kind === 'not') return 1 + complexity(expression.part);
  return expression.parts.reduce((sum, part) => sum + complexity(part), 1);
}
