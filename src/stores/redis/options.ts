import { optionInvalid } from '../../token/index.ts'
import { describe } from '../../util/index.ts'

/** Refuses what is no length of time above zero. */
export function assertPositive(subject: string, option: string, value: unknown): void {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return
  throw optionInvalid(subject, `${option} to be a number of milliseconds above 0, got ${describe(value)}`)
}
