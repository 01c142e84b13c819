import { createTokenManager, type TokenSource } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { redisLock, redisRecords, redisStore } from 'evertoken/stores/redis'
import { besideFloor } from './beside-floor.ts'
import type { Figure } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { interleaved } from './rounds.ts'

const CALLS = 200_000
/** The same order as a machine client's. */
const LIMIT = 2
/** Sessions are read again once a minute: rounds of so many turns take less. */
const TURNS = 41

/** A token of a user whose session is loaded, with sessions on Redis, beside that of a machine client: by a source that is kept, and by one for each call. */
export async function userWarm(): Promise<readonly Figure[]> {
  const loopback = await startLoopback()
  const redis = await startRedis()
  const client = await connect(redis.port)
  const encryption = oneKey()
  const clients = { main: clientAt(loopback.tokenEndpoint) }
  const machine = createTokenManager({ clients })
  const users = createUserTokenManager({
    clients,
    subjects: storedSessions(redisRecords(client, { encryption })),
    store: redisStore(client, { encryption }),
    lock: redisLock(client),
  })
  const alice = users.forSubject('main', 'alice')
  await alice.adopt({
    access_token: 'access-alice',
    expires_in: 3600,
    refresh_token: 'refresh-alice',
    subject: 'alice',
  })
  const times = await interleaved(
    {
      machine: () => nanoseconds(() => callMachine(machine.source('main'))),
      user: () => nanoseconds(() => callUser(alice.source())),
      each: () => nanoseconds(() => callEach(() => alice.source())),
    },
    { turns: TURNS, warmUps: 4 },
  )
  await Promise.all([machine.close(), users.close(), loopback.close()])
  client.disconnect()
  await redis.stop()
  const beside = besideFloor(times.machine, (ns) => `${ns.toFixed(0)} ns`)
  return [
    beside('warm forSubject(…).source().getToken() beside a machine client', times.user, LIMIT),
    beside('the same with a source for each call', times.each),
  ]
}

// One loop for each subject, as in `warm`.
async function callMachine(source: TokenSource): Promise<void> {
  for (let call = 0; call < CALLS; call++) await source.getToken()
}

async function callUser(source: TokenSource): Promise<void> {
  for (let call = 0; call < CALLS; call++) await source.getToken()
}

async function callEach(open: () => TokenSource): Promise<void> {
  for (let call = 0; call < CALLS; call++) await open().getToken()
}

async function nanoseconds(work: () => Promise<void>): Promise<number> {
  const startedAt = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - startedAt) / CALLS
}
