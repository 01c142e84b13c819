// A lock of one kind, and what it needs, for programs of tests.
import { fileLock } from 'evertoken/node'
import { postgresLock } from 'evertoken/stores/postgres'
import { redisLock } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import pg from 'pg'

/** `place` is the port of a server on this machine, or a folder. */
export async function openLock(kind, place, options) {
  if (kind === 'file') return { withLock: fileLock(place, options), close: async () => {} }
  if (kind === 'redis') {
    const client = new Redis({ port: Number(place), host: '127.0.0.1' })
    return { withLock: redisLock(client, options), close: async () => client.disconnect() }
  }
  const pool = new pg.Pool({ connectionString: `postgres://postgres@127.0.0.1:${place}/postgres` })
  pool.on('error', () => {})
  return { withLock: postgresLock(pool, options), close: () => pool.end() }
}
