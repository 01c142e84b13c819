import {
  assertPrefix,
  DEFAULT_PREFIX,
  LEASE_OPTIONS,
  type LeaseOptions,
  leasedLock,
  leaseFrom,
  type WithLock,
} from '../../store/index.ts'
import { assertOptions } from '../../token/index.ts'
import { advisoryLock, lockKey } from './advisory-lock.ts'
import { connectionsOf, type PostgresPool } from './postgres-pool.ts'

/** How a {@link postgresLock} behaves. */
export interface PostgresLockOptions extends LeaseOptions {
  /** Tells locks of several applications in one database apart. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** How long the pool may take to give a connection, and the server to answer. Default 500 ms; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
}

/**
 * A lock that processes share through PostgreSQL 9.6 or later: an advisory lock, which needs no table. Whoever holds it has one connection of
 * the pool in a transaction that does nothing, and the server ends that when nothing was heard for a lease. Whoever waits has none. All
 * locks of a pool together take half of it at the most; who finds no room there waits for `deadlineMs`.
 *
 * The lock throws StoreError with code `lock_unavailable` when there is no room, no connection or no answer in time, and `lock_timeout` when the lock
 * stays taken; the task has not begun then, and the caller decides whether to go on without.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function postgresLock(pool: PostgresPool, options: PostgresLockOptions = {}): WithLock {
  const given: unknown = options
  assertOptions('postgresLock', given, ['prefix', ...LEASE_OPTIONS])
  const { prefix = DEFAULT_PREFIX } = options
  assertPrefix('postgresLock', prefix)
  const lease = leaseFrom('postgresLock', options, { deadlineMs: 500 })
  const connections = connectionsOf(pool, 'postgresLock')
  return leasedLock({
    ...lease,
    keeper: 'PostgreSQL',
    // To find it held takes two: the look, and the end of its transaction.
    commandsPerLook: 2,
    commandsFor: async (name) => advisoryLock({ connections, key: lockKey(prefix, name), leaseMs: lease.leaseMs }),
  })
}
