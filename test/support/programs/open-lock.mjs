// Locks of each kind, and stores that processes share beside them, for programs of tests. `place` is the port of a server on this machine, or a folder.
import { createHash, randomUUID } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileLock } from 'evertoken/node'
import { postgresLock } from 'evertoken/stores/postgres'
import { redisLock } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import pg from 'pg'

/** A lock, and but for Redis a store at the same place. */
export async function openLock(kind, place, options) {
  if (kind === 'file') return { withLock: fileLock(place, options), store: fileStore(place), close: async () => {} }
  if (kind === 'redis') {
    const client = new Redis({
      port: Number(place),
      host: '127.0.0.1',
      maxRetriesPerRequest: 1,
      enableOfflineQueue: false,
    })
    client.on('error', () => {})
    await new Promise((resolve) => client.once('ready', resolve))
    return { withLock: redisLock(client, options), close: async () => client.disconnect() }
  }
  const pool = new pg.Pool({ connectionString: `postgres://postgres@127.0.0.1:${place}/postgres` })
  pool.on('error', () => {})
  return { withLock: postgresLock(pool, options), store: tableStore(pool), close: () => pool.end() }
}

function fileStore(folder) {
  const pathOf = (key) => join(folder, `${createHash('sha256').update(key).digest('hex')}.json`)
  return {
    async get(key) {
      const text = await readFile(pathOf(key), 'utf8').catch(() => '{}')
      const { value, expiresAt } = JSON.parse(text)
      return expiresAt > Date.now() ? value : undefined
    },
    async set(key, value, expiresAt) {
      const temporary = join(folder, randomUUID())
      await writeFile(temporary, JSON.stringify({ value, expiresAt }), { mode: 0o600 })
      await rename(temporary, pathOf(key))
    },
    delete: (key) => rm(pathOf(key), { force: true }),
  }
}

/** On the table `tokens (key text PRIMARY KEY, value text, expires_at bigint)`. */
function tableStore(pool) {
  return {
    async get(key) {
      const { rows } = await pool.query('SELECT value FROM tokens WHERE key = $1 AND expires_at > $2', [
        key,
        Date.now(),
      ])
      return rows[0]?.value
    },
    async set(key, value, expiresAt) {
      const onConflict = 'ON CONFLICT (key) DO UPDATE SET value = $2, expires_at = $3'
      await pool.query(`INSERT INTO tokens VALUES ($1, $2, $3) ${onConflict}`, [key, value, Math.floor(expiresAt)])
    },
    async delete(key) {
      await pool.query('DELETE FROM tokens WHERE key = $1', [key])
    },
  }
}
