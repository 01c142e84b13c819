import { createHash } from 'node:crypto'
import type { Acquired, LockCommands } from '../../store/index.ts'
import type { Connection, Connections } from './postgres-pool.ts'

/** What the lock of one owner is made of. */
export interface AdvisoryLockOptions {
  readonly connections: Connections
  readonly key: bigint
  readonly leaseMs: number
}

/**
 * An advisory lock of a transaction: it ends with the transaction, and the transaction with its connection. The server itself ends a
 * connection that is silent in a transaction for longer than the lease, so a holder that is gone, paused or cut off keeps nothing.
 *
 * In a transaction rather than a session, since a pooler between may give every transaction another session. It writes nothing and sees
 * only what is committed, so it keeps no snapshot between statements and holds up no vacuum.
 */
export function advisoryLock({ connections, key, leaseMs }: AdvisoryLockOptions): LockCommands {
  const gone = new AbortController()
  let held: Connection | undefined

  return {
    gone: gone.signal,
    enter: connections.enter,
    async acquire(deadline): Promise<Acquired> {
      const connection = await connections.open(deadline)
      let isUsable = false
      try {
        const row = await connection.ask(taking(key, leaseMs), deadline)
        if (Number(row.taken) === 1) {
          held = connection
          connection.broken.addEventListener('abort', () => gone.abort(), { once: true })
          if (connection.broken.aborted) gone.abort()
          // Nobody can tell whether it was taken in the time before.
          return 'next'
        }
        await connection.ask('ROLLBACK', deadline)
        isUsable = true
        return undefined
      } finally {
        if (held !== connection) connection.close(isUsable)
      }
    },
    async renew(deadline) {
      if (held === undefined || gone.signal.aborted) return false
      await held.ask('SELECT 1', deadline)
      return true
    },
    async release(deadline) {
      const connection = held
      held = undefined
      if (connection === undefined) return false
      let isUsable = false
      try {
        if (gone.signal.aborted) return false
        await connection.ask('COMMIT', deadline)
        isUsable = true
        return true
      } catch (error) {
        // Silence is no verdict; a connection that has ended took the lock with it.
        if (deadline.aborted) throw error
        return false
      } finally {
        connection.close(isUsable)
      }
    },
  }
}

/** In one go, as one simple query: digits are all that is put into it. */
function taking(key: bigint, leaseMs: number): string {
  return [
    'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY',
    `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)}`,
    `SELECT pg_try_advisory_xact_lock(${key})::int AS taken`,
  ].join('; ')
}

/** The number of an advisory lock. Two names of one number wait for each other, which is all the harm. */
export function lockKey(prefix: string, name: string): bigint {
  const nameHash = createHash('sha256').update(name).digest('base64url')
  return createHash('sha256').update(`${prefix}lock:${nameHash}`).digest().readBigInt64BE()
}
