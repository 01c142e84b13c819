// A process whose users have sessions: `node user-process.mjs <token endpoint, or issuer> <origin of the record server, or redis> [redis port] [encryption key]`.
// Every line that comes in is a command, `{"users": [...], "calls": 1}`, `{"users": [...], "end": "signOut"}` or `{"fault": "..."}`; what came of it goes out, a
// line each. With a Redis it shares lock and store with others, without one only sessions and store.
import { createInterface } from 'node:readline'
import { clientSecretBasic } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { redisLock, redisRecords, redisStore } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { sharedOverHttp } from './shared-over-http.mjs'

const [server, origin, port, key] = process.argv.slice(2)
const redis = port === undefined ? undefined : await connected(port)

async function connected(port) {
  const client = new Redis({ port: Number(port), host: '127.0.0.1', maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  await new Promise((resolve) => client.once('ready', resolve))
  return client
}

const IN_FLIGHT = 500
const encryption = { keys: [{ id: 'a', key }] }
const shared =
  origin === 'redis' ? { records: redisRecords(redis, { encryption }), close() {} } : sharedOverHttp(origin)
const authentication = clientSecretBasic('a-long-enough-secret')
const place = server.endsWith('/token') ? { tokenEndpoint: server } : { issuer: server }
const tokens = createUserTokenManager({
  clients: { web: { ...place, clientId: 'machine', authentication } },
  // All of a fleet, its server and its store share two cores here.
  subjects: storedSessions(shared.records, { deadlineMs: 30_000 }),
  store: redis === undefined ? shared.store : redisStore(redis, { encryption }),
  lock: redis && redisLock(redis, { leaseMs: 10_000, deadlineMs: 1000 }),
})
const lines = createInterface({ input: process.stdin })
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

async function call(user) {
  try {
    return { user, token: (await tokens.forSubject('web', user).source().getToken()).accessToken }
  } catch (error) {
    return { user, error: error.code, reason: error.reason, message: error.message }
  }
}

/** As a server does it: so many requests are in flight, and the next one comes when one is done. */
async function callAll(wanted) {
  const answered = []
  const lane = async () => {
    for (let user = wanted.shift(); user !== undefined; user = wanted.shift()) answered.push(await call(user))
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  return answered
}

process.once('SIGTERM', async () => {
  const closing = tokens.close()
  // New work is refused from now on.
  const { error } = await call('nobody')
  say({ closing: true, error })
  await closing
  redis?.disconnect()
  shared.close()
  say({ closed: true })
  lines.close()
})

say({ ready: true })
for await (const line of lines) {
  const { users = [], calls = 1, end, fault } = JSON.parse(line)
  if (end !== undefined) {
    Promise.all(users.map((user) => tokens.forSubject('web', user)[end]())).then(
      () => say({ ended: end }),
      (error) => say({ ended: end, error: error.code }),
    )
  } else if (fault === undefined) {
    const wanted = Array.from({ length: calls }, () => users).flat()
    callAll(wanted).then((answered) => say({ answered }))
  } else {
    setImmediate(() => {
      throw new Error(fault)
    })
  }
}
