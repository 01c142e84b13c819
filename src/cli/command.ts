import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import type { Awaitable } from '../util/index.ts'

/** A stream that a command writes to. */
export interface Output {
  readonly isTerminal: boolean
  write(text: string): void
}

/** An option of a command, `--name`. */
export interface CommandOption {
  readonly name: string
  /** What the help calls its value; an option without one is a switch. */
  readonly value?: string | undefined
  readonly summary: string
}

/** What stands behind the name of a command, checked against its table. */
export interface Arguments {
  /** Everything that is no option: files, names. */
  readonly operands: readonly string[]
  /** By name, without dashes; the value of a switch is empty. */
  readonly options: ReadonlyMap<string, string>
}

/** All that a command knows of the process that it runs in. */
export interface CommandContext {
  /** Carries results and nothing else. */
  readonly stdout: Output
  /** Carries the rest: warnings, errors. */
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly args: Arguments
  /** Aborts when the user stops the program. */
  readonly signal: AbortSignal
}

/** One command of the program. */
export interface Command {
  /** One word, or two of which commands of a family share the first: `keys generate`. */
  readonly name: string
  /** What it does, in one line. */
  readonly summary: string
  /** What stands behind its name. */
  readonly usage: string
  /** What else somebody has to know who calls it; lines of text. */
  readonly details?: readonly string[] | undefined
  /** The least and the greatest number of operands. */
  readonly operands: readonly [least: number, most: number]
  readonly options: readonly CommandOption[]
  /** Does the work. What it throws is reported, and the exit code is 1, or 2 for wrong usage. */
  run(context: CommandContext): Awaitable<void>
}

/** A call that the program does not understand. The message repeats no value: it may be a secret. */
export function usageInvalid(subject: string, expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}, got ${came}`, { code: 'usage_invalid' })
}

/** Whether an error is one that `usageInvalid` made. */
export function isUsageInvalid(error: unknown): boolean {
  return isEvertokenError(error) && error.code === 'usage_invalid'
}
