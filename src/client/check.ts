import { optionInvalid } from '../token/index.ts'
import { describe } from '../util/index.ts'

export { assertOptions, optionInvalid } from '../token/index.ts'

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
