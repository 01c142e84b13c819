import { assertPrefix, DEFAULT_PREFIX, localLock, type Turn, type WithLock } from '../../store/index.ts'
import { assertMethods, assertOptions, optionInvalid, StoreError } from '../../token/index.ts'
import { type Clock, randomId, sha256, systemClock } from '../../util/index.ts'
import { keepLease } from './lease.ts'
import { type LockCommands, lockCommands } from './lock-commands.ts'
import { createLockService, type LockService } from './lock-service.ts'
import { acquire, giveUp, type Taken } from './lock-turn.ts'
import { assertPositive } from './options.ts'
import { commandsOf, type RedisClient, type SendCommand } from './redis-client.ts'

/** How a {@link redisLock} behaves. */
export interface RedisLockOptions {
  /** What the lock's keys begin with. Default `evertoken:`. */
  readonly prefix?: string | undefined
  /** For how long a lock stays taken after its holder has gone; a holder renews it three times in that. Default 5 s. */
  readonly leaseMs?: number | undefined
  /** How long Redis may take to answer one command. Default 250 ms; at most a third of `leaseMs`. */
  readonly deadlineMs?: number | undefined
  /** How long to wait for a lock that somebody holds. Default one second more than `leaseMs`. */
  readonly waitMs?: number | undefined
  readonly clock?: Clock | undefined
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
  assertOptions('redisLock', given, ['prefix', 'leaseMs', 'deadlineMs', 'waitMs', 'clock'])
  const { prefix = DEFAULT_PREFIX, leaseMs = 5000, deadlineMs = 250, clock = systemClock } = options
  const { waitMs = leaseMs + 1000 } = options
  assertPrefix('redisLock', prefix)
  assertMethods('redisLock', { option: 'clock', value: clock }, ['now', 'setTimer'])
  for (const [option, value] of Object.entries({ leaseMs, deadlineMs, waitMs })) {
    assertPositive('redisLock', option, value)
  }
  if (deadlineMs * 3 > leaseMs) {
    throw optionInvalid('redisLock', `leaseMs to be at least three times deadlineMs, got ${leaseMs} and ${deadlineMs}`)
  }
  const send = commandsOf(client, 'redisLock')
  return lockWith({ send, prefix, leaseMs, deadlineMs, waitMs, clock })
}

interface Settings extends Required<{ [Name in keyof RedisLockOptions]: NonNullable<RedisLockOptions[Name]> }> {
  readonly send: SendCommand
}

function lockWith(settings: Settings): WithLock {
  const { send, prefix, leaseMs } = settings
  const local = localLock()
  const service = createLockService(settings.clock, settings.deadlineMs)
  return async (name, task, { signal, onLost, meanwhile } = {}) => {
    // Hashed, so that a name can neither be another key nor tell what is in it.
    const key = `${prefix}lock:${await sha256(name)}`
    const patience = createPatience(settings, signal)
    try {
      return await local(
        name,
        async (turn) => {
          // Somebody else of this process was there before.
          const known = turn?.isFirst ? undefined : await meanwhile?.()
          if (known !== undefined) return known
          service.assertUp()
          const commands = inTime(lockCommands(send, key, { owner: randomId(), leaseMs }), service)
          const taken = await acquire(commands, { clock: settings.clock, signal: patience.signal, meanwhile })
          if ('found' in taken) return taken.found
          patience.end()
          return await hold(commands, task, { ...settings, ...taken, onLost: harmless(onLost) })
        },
        { signal: patience.signal },
      )
    } finally {
      patience.end()
    }
  }
}

/** What ends the waiting of one caller: the caller's own signal, or the time. */
interface Patience {
  readonly signal: AbortSignal
  end(): void
}

function createPatience({ clock, waitMs }: Settings, signal: AbortSignal | undefined): Patience {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  const cancel = clock.setTimer(() => {
    const message = `lock: expected to get it within ${waitMs} ms, got no turn`
    controller.abort(new StoreError(message, { code: 'lock_timeout' }))
  }, waitMs)
  return {
    signal: controller.signal,
    end() {
      cancel()
      signal?.removeEventListener('abort', onAbort)
    },
  }
}

/** One owner's commands, each answered in time or not at all; a lock that is given too late is given back. */
function inTime(commands: LockCommands, service: LockService): LockCommands {
  return {
    async acquire() {
      const asked = commands.acquire()
      try {
        return await service.answer(() => asked)
      } catch (error) {
        giveUp(asked, commands)
        throw error
      }
    },
    renew: () => service.answer(commands.renew),
    release: () => service.answer(commands.release),
  }
}

/** Like telemetry it may fail without a word: what the task has brought is worth more. */
function harmless(onLost: (() => void) | undefined): () => void {
  return () => {
    try {
      onLost?.()
    } catch {}
  }
}

interface Holding extends Settings, Taken {
  readonly onLost: () => void
}

async function hold<T>(commands: LockCommands, task: (turn: Turn) => Promise<T>, holding: Holding): Promise<T> {
  const lease = keepLease({ ...holding, renew: commands.renew })
  try {
    return await task({ isFirst: holding.isFirst })
  } finally {
    const { isLost } = lease.end()
    // Unanswered, the lease runs out; the result of the task is worth more than the news of that.
    const wasOurs = await commands.release().catch(() => true)
    if (!wasOurs && !isLost) holding.onLost()
  }
}
