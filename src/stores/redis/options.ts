import { ConfigurationError } from '../../token/index.ts'
import { describe } from '../../util/index.ts'

/** What the keys and channels of this package begin with, unless the user says otherwise. */
export const DEFAULT_PREFIX = 'evertoken:'

/** A mistake in the options of a function. */
export function optionInvalid(subject: string, expected: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}`, { code: 'option_invalid' })
}

/** Refuses names that mean nothing: a mistyped `encryption` must not go unseen. */
export function assertNames(subject: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw optionInvalid(subject, `options, got ${describe(options)}`)
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new ConfigurationError(`${subject}: expected options out of ${known.join(', ')}, got "${name}"`, {
      code: 'option_unknown',
    })
  }
}

/** Refuses a prefix that is no text. */
export function assertPrefix(subject: string, prefix: unknown): void {
  if (typeof prefix !== 'string') throw optionInvalid(subject, `prefix to be a string, got ${describe(prefix)}`)
}

/** Refuses what is no length of time above zero. */
export function assertPositive(subject: string, option: string, value: unknown): void {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return
  throw optionInvalid(subject, `${option} to be a number of milliseconds above 0, got ${describe(value)}`)
}
