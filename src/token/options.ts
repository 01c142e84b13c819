import { describe } from '../util/index.ts'
import { ConfigurationError } from './errors.ts'

/** A mistake in what the programmer wrote, told by subject and option. */
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

/** Refuses what is there and is no whole number above zero. */
export function assertCount(subject: string, option: string, value: unknown): void {
  if (value === undefined || (Number.isSafeInteger(value) && Number(value) > 0)) return
  throw optionInvalid(subject, `${option} to be a whole number above zero, got ${describe(value)}`)
}

/** Refuses an object that lacks a method. */
export function assertMethods(
  subject: string,
  { option, value }: { readonly option: string; readonly value: unknown },
  methods: readonly string[],
): void {
  const missing = methods.find((method) => typeof Object(value)[method] !== 'function')
  if (missing === undefined) return
  throw optionInvalid(subject, `${option} to have a method "${missing}", got ${describe(value)}`)
}
