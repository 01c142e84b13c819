import { StoreError } from '../token/index.ts'
import { stayAlive } from '../util/index.ts'
import { keepLease } from './lease.ts'
import { localLock } from './local-lock.ts'
import type { LockCommands } from './lock-commands.ts'
import { createLockHealth, inTime, type TimelyCommands } from './lock-health.ts'
import type { Lease } from './lock-options.ts'
import { acquire, ask, type Taken } from './lock-turn.ts'
import type { Turn, WithLock } from './with-lock.ts'

/** What a {@link leasedLock} needs. */
export interface LeasedLockOptions extends Lease {
  /** What keeps the lock, for messages: `Redis`. */
  readonly keeper: string
  /** The commands of a new owner of the lock of this name. */
  readonly commandsFor: (name: string) => Promise<LockCommands>
  /** How many commands it takes to find that a lock is held. Default 1. */
  readonly commandsPerLook?: number | undefined
}

/**
 * A lock that lasts for a lease, kept outside this process, and renewed while the task runs. Of the tasks in this process that wait for one
 * name, one at a time looks for it.
 *
 * The lock throws StoreError with code `lock_unavailable` when there is no answer in time and `lock_timeout` when the lock stays taken; the
 * task has not begun then.
 */
export function leasedLock(options: LeasedLockOptions): WithLock {
  const { clock, commandsFor, commandsPerLook = 1 } = options
  const local = localLock()
  const health = createLockHealth(options)
  return async (name, task, { signal, onLost, meanwhile } = {}) => {
    const patience = createPatience(options, signal)
    try {
      return await local(
        name,
        async (turn) => {
          // Somebody else of this process was there before.
          const known = turn?.isFirst ? undefined : await ask(meanwhile, patience.signal)
          if (known !== undefined) return known
          health.assertUp()
          const commands = await commandsFor(name)
          const timely = inTime(commands, health)
          const taken = await acquire(timely, { clock, signal: patience.signal, meanwhile, commandsPerLook })
          if ('found' in taken) return taken.found
          patience.end()
          return await hold(timely, task, { ...options, ...taken, gone: commands.gone, onLost: harmless(onLost) })
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

function createPatience({ clock, waitMs }: Lease, signal: AbortSignal | undefined): Patience {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  const letGo = stayAlive()
  const cancel = clock.setTimer(() => {
    const message = `lock: expected to get it within ${waitMs} ms, got no turn`
    controller.abort(new StoreError(message, { code: 'lock_timeout' }))
  }, waitMs)
  return {
    signal: controller.signal,
    end() {
      cancel()
      letGo()
      signal?.removeEventListener('abort', onAbort)
    },
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

interface Holding extends Lease, Taken {
  readonly gone: AbortSignal | undefined
  readonly onLost: () => void
}

async function hold<T>(commands: TimelyCommands, task: (turn: Turn) => Promise<T>, holding: Holding): Promise<T> {
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
