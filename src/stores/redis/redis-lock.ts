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
import { randomId, sha256 } from '../../util/index.ts'
import { commandsOf, type RedisClient } from './redis-client.ts'
import { redisLockCommands } from './redis-lock-commands.ts'

/** How a {@link redisLock} behaves. */
export interface RedisLockOptions extends LeaseOptions {
  /** What the lock's keys begin with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** How long Redis may take to answer one command. Default 250 ms; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
}

/**
 * A lock that processes share through Redis: one key with a random owner, which lasts for a lease and is renewed while
 * the task runs. Of the tasks in this process that wait for one name, one at a time looks for it in Redis.
 *
 * The lock throws StoreError with code `lock_unavailable` when Redis does not answer in time and `lock_timeout` when the
 * lock stays taken; the task has not begun then, and the caller decides whether to go on without.
 *
 * @throws ConfigurationError with code `option_invalid` or `option_unknown`.
 */
export function redisLock(client: RedisClient, options: RedisLockOptions = {}): WithLock {
  const given: unknown = options
  assertOptions('redisLock', given, ['prefix', ...LEASE_OPTIONS])
  const { prefix = DEFAULT_PREFIX } = options
  assertPrefix('redisLock', prefix)
  const lease = leaseFrom('redisLock', options, { deadlineMs: 250 })
  const send = commandsOf(client, 'redisLock')
  return leasedLock({
    ...lease,
    keeper: 'Redis',
    // Hashed, so that a name can neither be another key nor tell what is in it.
    commandsFor: async (name) =>
      redisLockCommands(send, `${prefix}lock:${await sha256(name)}`, { owner: randomId(), leaseMs: lease.leaseMs }),
  })
}
