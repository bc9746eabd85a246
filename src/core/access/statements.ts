import type { Statement } from '../../kit/policy.ts';
import { type ConditionTree, oneCondition, parseConditions } from './condition-expression.ts';

/** A statement, ready to be asked. */
export interface Rule {
  /** Undefined: every action. */
  readonly actions: ReadonlySet<string> | undefined;
  readonly allows: boolean;
  readonly principals: readonly string[];
  /** All have to hold. */
  readonly conditions: readonly ConditionTree[];
}

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

/** Reads a statement. Throws ConditionSyntaxError. */
export function ruleOf(statement: Statement): Rule {
  const actions = listOf(statement.action);
  return {
    actions: actions.includes('*') ? undefined : new Set(actions),
    allows: statement.effect === 'allow',
    principals: listOf(statement.principal),
    conditions: [
      ...listOf(statement.condition).map(oneCondition),
      ...listOf(statement.condition_expression).map(parseConditions),
    ],
  };
}

/** Whether the rules let it be done: one that fits has to allow it and none that fits may deny it. */
export async function decide(
  rules: readonly Rule[],
  action: string,
  fits: (principals: readonly string[]) => Promise<boolean>,
  holds: (condition: ConditionTree) => Promise<boolean>,
): Promise<boolean> {
  let allowed = false;
  for (const rule of rules) {
    // What is allowed already needs no other rule that allows it.
    if ((rule.allows && allowed) || (rule.actions && !rule.actions.has(action)) || !(await fits(rule.principals))) continue;
    let all = true;
    for (const condition of rule.conditions) all = all && (await holds(condition));
    if (!all) continue;
    if (!rule.allows) return false;
    allowed = true;
  }
  return allowed;
}

/** Evaluates a combination from left to right, asking no more conditions than it needs. */
export async function evaluate(
  tree: ConditionTree,
  ask: (name: string, argument: string) => Promise<boolean> | boolean,
): Promise<boolean> {
  if (tree.kind === 'condition') return ask(tree.name, tree.argument);
  if (tree.kind === 'not') return !(await evaluate(tree.part, ask));
  for (const part of tree.parts) if ((await evaluate(part, ask)) === (tree.kind === 'or')) return tree.kind === 'or';
  return tree.kind === 'and';
}
