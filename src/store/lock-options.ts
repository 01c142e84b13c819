import { assertMethods, optionInvalid } from '../token/index.ts'
import { type Clock, describe, systemClock } from '../util/index.ts'

/** How long a lock that processes share lasts, and how long it is waited for. */
export interface LeaseOptions {
  /** For how long a lock stays taken after its holder has gone; a holder renews it three times in that. Default 5 s. */
  readonly leaseMs?: number | undefined
  /** How long whatever keeps the lock may take to answer one command; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
  /** How long to wait for a lock that somebody holds. Default one second more than `leaseMs`. */
  readonly waitMs?: number | undefined
  readonly clock?: Clock | undefined
}

/** The same with nothing left out. */
export type Lease = { readonly [Name in keyof LeaseOptions]-?: NonNullable<LeaseOptions[Name]> }

/** The names of these options. */
export const LEASE_OPTIONS: readonly (keyof LeaseOptions)[] = ['leaseMs', 'deadlineMs', 'waitMs', 'clock']

/**
 * The options with their defaults.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function leaseFrom(subject: string, options: LeaseOptions, usual: { readonly deadlineMs: number }): Lease {
  const { leaseMs = 5000, deadlineMs = usual.deadlineMs, clock = systemClock } = options
  const { waitMs = leaseMs + 1000 } = options
  assertMethods(subject, { option: 'clock', value: clock }, ['now', 'setTimer'])
  for (const [option, value] of Object.entries({ leaseMs, deadlineMs, waitMs })) assertPositive(subject, option, value)
  if (deadlineMs * 3 > leaseMs) {
    throw optionInvalid(subject, `leaseMs to be at least three times deadlineMs, got ${leaseMs} and ${deadlineMs}`)
  }
  return { leaseMs, deadlineMs, waitMs, clock }
}

function assertPositive(subject: string, option: string, value: unknown): void {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return
  throw optionInvalid(subject, `${option} to be a number of milliseconds above 0, got ${describe(value)}`)
}
