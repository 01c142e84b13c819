import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'

/** A mistake in what the programmer wrote, told by client and option. */
export function optionInvalid(subject: string, expected: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}`, { code: 'option_invalid' })
}

/** Refuses what is not an object, and names in it that mean nothing. */
export function assertOptions(
  subject: string,
  value: unknown,
  known: readonly string[],
): asserts value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw optionInvalid(subject, `an object, got ${describe(value)}`)
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    throw new ConfigurationError(`${subject}: expected options out of ${known.join(', ')}, got "${name}"`, {
      code: 'option_unknown',
    })
  }
}

/** Refuses what is there and is not a function. */
export function assertFunction(subject: string, option: string, value: unknown): void {
  if (value === undefined || typeof value === 'function') return
  throw optionInvalid(subject, `${option} to be a function, got ${describe(value)}`)
}

/** Refuses what is there and is not a length of time. */
export function assertMs(subject: string, option: string, value: unknown): void {
  if (value === undefined || (typeof value === 'number' && value >= 0 && Number.isFinite(value))) return
  throw optionInvalid(subject, `${option} to be a number of milliseconds, got ${describe(value)}`)
}
