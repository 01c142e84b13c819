import { assertOptions } from '../token/index.ts'
import { assertPrefix, DEFAULT_PREFIX } from './adapted-store.ts'
import { type LeasedLockOptions, leasedLock } from './leased-lock.ts'
import { LEASE_OPTIONS, type Lease, type LeaseOptions, leaseFrom } from './lock-options.ts'
import type { WithLock } from './with-lock.ts'

/** How a lock behaves that a server keeps for several applications. */
export interface AdaptedLockOptions extends LeaseOptions {
  /** Tells locks of several applications on one server apart; where locks are keys, they begin with it. Default `evertoken:`. */
  readonly prefix?: string | undefined
}

/** What an adapter is told, once it has been checked. */
export interface AdaptedLockSettings extends Lease {
  readonly prefix: string
}

/** How locks are kept on one kind of server. */
export interface LockAdapter extends Pick<LeasedLockOptions, 'keeper' | 'commandsPerLook'> {
  /** What `deadlineMs` is where the user has said nothing. */
  readonly deadlineMs: number
  readonly connect: (settings: AdaptedLockSettings) => LeasedLockOptions['commandsFor']
}

/**
 * A lock that a server keeps, of checked options.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function adaptedLock(subject: string, options: AdaptedLockOptions, adapter: LockAdapter): WithLock {
  const given: unknown = options
  assertOptions(subject, given, ['prefix', ...LEASE_OPTIONS])
  const { prefix = DEFAULT_PREFIX } = options
  assertPrefix(subject, prefix)
  const { connect, deadlineMs, ...kept } = adapter
  const lease = leaseFrom(subject, options, { deadlineMs })
  return leasedLock({ ...lease, ...kept, commandsFor: connect({ ...lease, prefix }) })
}
