import { parseArgs } from 'node:util'
import { ALGORITHMS } from '../keys/index.ts'
import { type Arguments, type Command, usageInvalid } from './command.ts'

/**
 * Reads what stands behind the name of a command.
 *
 * @throws ConfigurationError with code `usage_invalid`.
 */
export function parseArguments(
  { name, operands: [least, most], options }: Command,
  args: readonly string[],
): Arguments {
  const { tokens } = parseArgs({
    args: [...args],
    // Node's own messages repeat values, so the tokens are looked at here.
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      options.map((option) => [option.name, { type: option.value === undefined ? 'boolean' : 'string' } as const]),
    ),
  })
  const operands: string[] = []
  const given = new Map<string, string>()
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const option = options.find((known) => known.name === token.name)
    const dashed = `--${token.name}`
    if (option === undefined || token.rawName !== dashed) {
      throw usageInvalid(name, `options out of ${optionNames(options)}`, presentableWord(token.rawName))
    }
    if (given.has(option.name)) throw usageInvalid(name, `${dashed} once`, 'it twice')
    given.set(option.name, valueIn(token, { name, option: dashed, takesValue: option.value !== undefined }))
  }
  if (operands.length < least || operands.length > most) {
    throw usageInvalid(name, countOf(least, most), String(operands.length))
  }
  return { operands, options: given }
}

interface OptionToken {
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

interface Expected {
  readonly name: string
  readonly option: string
  readonly takesValue: boolean
}

function valueIn({ value, inlineValue }: OptionToken, { name, option, takesValue }: Expected): string {
  if (!takesValue) {
    if (value === undefined) return ''
    throw usageInvalid(name, `${option} without a value`, 'one')
  }
  // `--out --force` has lost its file name; a name that begins with a dash can be given as `--out=-name`.
  const isLost = value === undefined || (!inlineValue && value.startsWith('-'))
  if (isLost) throw usageInvalid(name, `a value behind ${option}`, 'none')
  if (value === '') throw usageInvalid(name, `a value behind ${option}`, 'an empty one')
  return value
}

function optionNames(options: Command['options']): string {
  return [...options.map((option) => `--${option.name}`), '--help'].join(', ')
}

function countOf(least: number, most: number): string {
  if (most === 0) return 'no arguments but options'
  const count =
    least === most ? `${least}` : most === Number.POSITIVE_INFINITY ? `${least} or more` : `${least} to ${most}`
  return `${count} ${most === 1 ? 'argument' : 'arguments'} beside options`
}

/** A word as it was typed, where it looks like the name of something: what else is typed may be a secret. */
export function presentableWord(word: string): string {
  return /^-{0,2}[a-z][a-z-]{0,23}$/i.test(word) ? `"${word}"` : 'something else'
}

/**
 * Refuses an algorithm that no key is made for.
 *
 * @throws ConfigurationError with code `usage_invalid`.
 */
export function assertAlg(name: string, alg: string): void {
  if (!ALGORITHMS.has(alg)) throw usageInvalid(name, `--alg out of ${[...ALGORITHMS.keys()].join(', ')}`, 'another one')
}
