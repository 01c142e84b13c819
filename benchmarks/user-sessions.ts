import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { redisLock, redisRecords, redisStore } from 'evertoken/stores/redis'
import type { Figure } from './figures.ts'
import { clientAt } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { settledBytes } from './rounds.ts'

const SESSIONS = 100_000
/** What is in memory is measured after so many. */
const STRETCH = 20_000
const MAX_SESSIONS = 5_000
const AT_ONCE = 50
const LIMIT = 0.1

/** A hundred thousand users sign in to sessions on Redis and refresh their tokens once, in a process that remembers five thousand of them. */
export async function userSessions(): Promise<readonly Figure[]> {
  const redis = await startRedis()
  const client = await connect(redis.port)
  const encryption = oneKey()
  let tokens = 0
  const users = createUserTokenManager({
    clients: { main: clientAt('https://as.example/token') },
    maxSessions: MAX_SESSIONS,
    subjects: storedSessions(redisRecords(client, { encryption })),
    store: redisStore(client, { encryption }),
    lock: redisLock(client),
    async fetch() {
      const n = ++tokens
      const body = { access_token: `access-${n}`, expires_in: 3600, refresh_token: `refresh-${n}` }
      return Response.json({ token_type: 'Bearer', ...body })
    },
  })
  let next = 0
  async function lane(until: number): Promise<void> {
    while (next < until) {
      const subject = `user-${next++}`
      const user = users.forSubject('main', subject)
      const login = { access_token: 'expired', expires_in: 60, refresh_token: `first-${subject}`, subject }
      await user.adopt({ ...login, receivedAt: Date.now() - 3_600_000 })
      await user.source().getToken()
    }
  }
  const before = await settledBytes()
  const heaps: number[] = []
  for (let until = STRETCH; until <= SESSIONS; until += STRETCH) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => lane(until)))
    heaps.push((await settledBytes()) - before)
  }
  const [, memory = ''] = /used_memory:(\d+)/.exec(await client.info('memory')) ?? []
  await users.close()
  client.disconnect()
  await redis.stop()
  const [first = Number.NaN, ...later] = heaps
  const last = later.at(-1) ?? Number.NaN
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  return [
    {
      what: `${SESSIONS} sessions on Redis, ${MAX_SESSIONS} remembered: heap at the end, beside that after a fifth`,
      ours: megabytes(last),
      floor: megabytes(first),
      ratio: last / first,
      limit: `never ratio ${1 + LIMIT}`,
      isWithin: Math.max(...later) <= first * (1 + LIMIT),
    },
    {
      what: 'the same: bytes for each session that is remembered',
      ours: `${(last / MAX_SESSIONS).toFixed(0)} B`,
      limit: 'for information',
      isWithin: true,
    },
    {
      what: 'the same: bytes of Redis for each session, with what a refresh leaves for a minute',
      ours: `${(Number(memory) / SESSIONS).toFixed(0)} B`,
      limit: 'for information',
      isWithin: true,
    },
  ]
}
