import { type Expression, type Function as FunctionNode, type Program, parseSync, Visitor } from 'oxc-parser'

/** Through more functions than this no code is handed. */
const MAX_DEPTH = 3

type Node = Expression | { readonly type: string }

/** What a file says about the texts that it passes around. */
interface Facts {
  /** The values behind `code:`. */
  readonly codes: readonly Node[]
  readonly functions: ReadonlyMap<string, FunctionNode>
  readonly returned: ReadonlyMap<FunctionNode, readonly Node[]>
  readonly calls: readonly { readonly name: string; readonly passed: readonly Node[] }[]
  /** `name === 'value'`. */
  readonly compared: readonly { readonly name: string; readonly value: string }[]
}

/**
 * Every text that may become the `code` of an error in this file: literals behind `code:`, what a function named there
 * returns, what callers pass as a parameter named there, and what they have compared it with before.
 */
export function errorCodesIn(path: string, source: string): readonly string[] {
  const facts = factsOf(parseSync(path, source).program)
  return [...new Set(facts.codes.flatMap((node) => textsOf(facts, node, 0)))].sort()
}

function textsOf(facts: Facts, node: Node, depth: number): readonly string[] {
  if (depth > MAX_DEPTH) return []
  const each = (nodes: readonly Node[]): readonly string[] => nodes.flatMap((one) => textsOf(facts, one, depth + 1))
  if (isA(node, 'Literal')) return typeof node.value === 'string' ? [node.value] : []
  if (isA(node, 'ConditionalExpression')) return each([node.consequent, node.alternate])
  if (isA(node, 'LogicalExpression')) return each([node.left, node.right])
  if (isA(node, 'CallExpression'))
    return node.callee.type === 'Identifier' ? each(returnsOf(facts, node.callee.name)) : []
  if (!isA(node, 'Identifier')) return []
  const comparisons = depth === 0 ? [] : facts.compared.filter(({ name }) => name === node.name)
  return [...each(argumentsFor(facts, node.name)), ...comparisons.map(({ value }) => value)]
}

function returnsOf({ functions, returned }: Facts, name: string): readonly Node[] {
  const called = functions.get(name)
  return called === undefined ? [] : (returned.get(called) ?? [])
}

function argumentsFor({ functions, calls }: Facts, parameter: string): readonly Node[] {
  return [...functions].flatMap(([called, { params }]) => {
    const position = params.findIndex((param) => param.type === 'Identifier' && param.name === parameter)
    return calls.filter(({ name }) => name === called).flatMap(({ passed }) => passed[position] ?? [])
  })
}

function factsOf(program: Program): Facts {
  const codes: Node[] = []
  const functions = new Map<string, FunctionNode>()
  const returned = new Map<FunctionNode, Node[]>()
  const calls: Facts['calls'][number][] = []
  const compared: Facts['compared'][number][] = []
  const open: FunctionNode[] = []
  new Visitor({
    FunctionDeclaration(node) {
      open.push(node)
      returned.set(node, [])
      if (node.id !== null) functions.set(node.id.name, node)
    },
    'FunctionDeclaration:exit': () => open.pop(),
    ReturnStatement({ argument }) {
      const inside = open.at(-1)
      if (inside !== undefined && argument !== null) returned.get(inside)?.push(argument)
    },
    CallExpression({ callee, arguments: passed }) {
      if (callee.type === 'Identifier') calls.push({ name: callee.name, passed })
    },
    BinaryExpression({ operator, left, right }) {
      if (operator !== '===' || left.type !== 'Identifier') return
      if (right.type === 'Literal' && typeof right.value === 'string')
        compared.push({ name: left.name, value: right.value })
    },
    Property({ key, value }) {
      if (key.type === 'Identifier' && key.name === 'code') codes.push(value)
    },
  }).visit(program)
  return { codes, functions, returned, calls, compared }
}

function isA<Type extends Expression['type']>(node: Node, type: Type): node is Extract<Expression, { type: Type }> {
  return node.type === type
}
