import { Redis } from 'ioredis'
import { hasRedisServer, type RedisServer, startRedisServer } from '../redis-server.ts'

/** There is no Redis to share; the message says what was looked for. */
export class NoRedis extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NoRedis'
  }
}

/** The Redis that the workers share. */
export interface SharedRedis {
  readonly url: string
  /** Where it was started for the demo, which may then do to it what it likes. */
  readonly own: RedisServer | undefined
  stop(): Promise<void>
}

/**
 * The one that `REDIS_URL` names, or one of the demo's own.
 *
 * @throws NoRedis
 */
export async function shareRedis(url: string | undefined): Promise<SharedRedis> {
  if (url !== undefined) {
    await assertAnswers(url)
    return { url, own: undefined, stop: async () => {} }
  }
  if (!hasRedisServer()) {
    throw new NoRedis('--fleet: expected a program redis-server to start, or REDIS_URL to name a Redis, got neither')
  }
  const own = await startRedisServer()
  return { url: `redis://127.0.0.1:${own.port}`, own, stop: own.stop }
}

async function assertAnswers(url: string): Promise<void> {
  let client: Redis | undefined
  let cause: unknown
  try {
    client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 2000 })
    // Tells more than the command that fails after it.
    client.on('error', (error) => {
      cause = error
    })
    await client.connect()
    await client.ping()
  } catch (error) {
    cause ??= error
    // Not its message: that may hold the URL, and the URL a password.
    const came = cause instanceof Error && 'code' in cause ? cause.code : 'an error'
    throw new NoRedis(`--fleet: expected the Redis that REDIS_URL names to answer, got ${came}`)
  } finally {
    client?.disconnect()
  }
}
