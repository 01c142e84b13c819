import { setTimeout as pause } from 'node:timers/promises'
import type { RecordStore } from 'evertoken'
import { createUserTokenManager, storedSessions, type UserTokenManager } from 'evertoken/session'
import { redisLock, redisRecords, redisStore } from 'evertoken/stores/redis'
import type { Redis } from 'ioredis'
import { type Figure, quantile } from './figures.ts'
import { clientAt } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'

const USERS = 2_000
const WARM_UPS = 200
/** A hundred refreshes a second: those of 360,000 users with tokens of an hour. */
const PAUSE_MS = 10
const LIMIT_MS = 5

type Users = UserTokenManager<{ readonly main: ReturnType<typeof clientAt> }>

/** When what came of a user's refresh token was received, written, and handed out. */
interface Marks {
  readonly received: Map<string, number>
  readonly durable: Map<string, number>
}

/** Refreshes of users whose sessions are on Redis: from the answer of the server until Redis has it, and until the caller has it, beside a bare `SET` of as many bytes. */
export async function userDurable(): Promise<readonly Figure[]> {
  const redis = await startRedis()
  const client = await connect(redis.port)
  const marks: Marks = { received: new Map(), durable: new Map() }
  const users = openUsers(client, marks)
  const waits = { durable: new Float64Array(USERS), handedOut: new Float64Array(USERS), bare: new Float64Array(USERS) }
  for (let n = -WARM_UPS; n < USERS; n++) await signIn(users, `user${n}`)
  const work: Promise<void>[] = []
  for (let n = -WARM_UPS; n < USERS; n++) {
    work.push(
      refreshed(users, `user${n}`, marks).then(({ durable, handedOut }) => {
        if (n < 0) return
        waits.durable[n] = durable
        waits.handedOut[n] = handedOut
      }),
    )
    work.push(
      timedSet(client, n).then((ms) => {
        if (n >= 0) waits.bare[n] = ms
      }),
    )
    await pause(PAUSE_MS)
  }
  await Promise.all(work)
  await users.close()
  client.disconnect()
  await redis.stop()
  for (const of of Object.values(waits)) of.sort()
  const figure = (what: string, share: number, ours: Float64Array, limit?: number): Figure => {
    const [time, floor] = [quantile(ours, share), quantile(waits.bare, share)]
    const shown = { ours: `${time.toFixed(2)} ms`, floor: `${floor.toFixed(2)} ms`, ratio: time / floor }
    return {
      what,
      ...shown,
      limit: limit === undefined ? 'for information' : `${limit} ms`,
      isWithin: limit === undefined || time <= limit,
    }
  }
  return [
    figure(`${USERS} refreshes, from the answer until Redis has it: p99`, 0.99, waits.durable, LIMIT_MS),
    figure('the same: median', 0.5, waits.durable),
    figure('from the answer until the caller has it: p99', 0.99, waits.handedOut),
    figure('the same: median', 0.5, waits.handedOut),
  ]
}

function openUsers(client: Redis, { received, durable }: Marks): Users {
  const encryption = oneKey()
  const records = redisRecords(client, { encryption })
  const watched: RecordStore = {
    get: (key) => records.get(key),
    delete: (key) => records.delete(key),
    async put(key, value, write) {
      const isKept = await records.put(key, value, write)
      // A session says whose it is.
      durable.set(String(/user-?\d+/.exec(value)?.[0]), performance.now())
      return isKept
    },
  }
  return createUserTokenManager({
    clients: { main: clientAt('https://as.example/token') },
    subjects: storedSessions(watched),
    store: redisStore(client, { encryption }),
    lock: redisLock(client),
    async fetch(_url, init) {
      const user = String(new URLSearchParams(String(init?.body)).get('refresh_token')).replace('refresh-', '')
      const body = {
        access_token: `access-${user}`,
        token_type: 'Bearer',
        expires_in: 3600,
        refresh_token: `refreshed-${user}`,
      }
      const response = Response.json(body)
      received.set(user, performance.now())
      return response
    },
  })
}

/** Signs a user in whose access token has expired. */
function signIn(users: Users, subject: string): Promise<void> {
  const login = { access_token: 'expired', expires_in: 60, refresh_token: `refresh-${subject}`, subject }
  return users.forSubject('main', subject).adopt({ ...login, receivedAt: Date.now() - 3_600_000 })
}

async function refreshed(
  users: Users,
  subject: string,
  { received, durable }: Marks,
): Promise<{ durable: number; handedOut: number }> {
  await users.forSubject('main', subject).source().getToken()
  const now = performance.now()
  const since = received.get(subject) ?? Number.NaN
  return { durable: (durable.get(subject) ?? Number.NaN) - since, handedOut: now - since }
}

async function timedSet(client: Redis, n: number): Promise<number> {
  const value = 'x'.repeat(600)
  const startedAt = performance.now()
  await client.set(`bare:${n}`, value, 'EX', 60)
  return performance.now() - startedAt
}
