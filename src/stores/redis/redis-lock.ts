import { type AdaptedLockOptions, adaptedLock, type WithLock } from '../../store/index.ts'
import { randomId, sha256 } from '../../util/index.ts'
import { commandsOf, type RedisClient } from './redis-client.ts'
import { redisLockCommands } from './redis-lock-commands.ts'

/** How a {@link redisLock} behaves. */
export interface RedisLockOptions extends AdaptedLockOptions {
  /** How long Redis may take to answer one command. Default 250 ms; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
}

const SUBJECT = 'redisLock'

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
  return adaptedLock(SUBJECT, options, {
    keeper: 'Redis',
    deadlineMs: 250,
    connect({ prefix, leaseMs }) {
      const send = commandsOf(client, SUBJECT)
      // Hashed, so that a name can neither be another key nor tell what is in it.
      return async (name) =>
        redisLockCommands(send, `${prefix}lock:${await sha256(name)}`, { owner: randomId(), leaseMs })
    },
  })
}
