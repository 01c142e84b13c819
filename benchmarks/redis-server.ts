import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { EncryptionKeys } from 'evertoken'
import { Redis } from 'ioredis'
import { hasRedisServer, type RedisServer, startRedisServer } from '../demo/redis-server.ts'

/** A Redis of the benchmark's own. */
export async function startRedis(): Promise<RedisServer> {
  if (!hasRedisServer()) throw new Error('expected a program redis-server, got none; `npm run setup` installs it')
  return startRedisServer()
}

/** A connection as the how-to guide makes it, once it is there. */
export async function connect(port: number): Promise<Redis> {
  const redis = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: 1, enableOfflineQueue: false })
  redis.on('error', () => {})
  await once(redis, 'ready')
  return redis
}

/** A ring of one key. */
export function oneKey(): EncryptionKeys {
  return { keys: [{ id: 'bench', key: randomBytes(32).toString('base64url') }] }
}
