// A process whose users have sessions: `node user-process.mjs <token endpoint> <origin of the record server> [redis port] [encryption key]`. Every line
// that comes in is a command, `{"users": [...], "calls": 1}` or `{"signOut": "..."}`; what came of it goes out, a line each. With a Redis it shares lock and
// store with others, without one only sessions and store.
import { createInterface } from 'node:readline'
import { clientSecretBasic } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { sharedOverHttp } from './shared-over-http.mjs'

const [tokenEndpoint, origin, port, key] = process.argv.slice(2)
const shared = sharedOverHttp(origin)
const redis = port === undefined ? undefined : await connect()
const authentication = clientSecretBasic('a-long-enough-secret')
const tokens = createUserTokenManager({
  clients: { web: { tokenEndpoint, clientId: 'machine', authentication } },
  subjects: storedSessions(shared.records),
  store: redis?.store ?? shared.store,
  lock: redis?.lock,
})
const lines = createInterface({ input: process.stdin })
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

/** What processes share through a Redis. */
async function connect() {
  const client = new Redis({
    port: Number(port),
    host: '127.0.0.1',
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
  })
  client.on('error', () => {})
  await new Promise((resolve) => client.once('ready', resolve))
  return {
    store: redisStore(client, { encryption: { keys: [{ id: 'a', key }] } }),
    lock: redisLock(client, { leaseMs: 10_000, deadlineMs: 1000 }),
    close: () => client.disconnect(),
  }
}

async function call(user) {
  try {
    return { user, token: (await tokens.forSubject('web', user).source().getToken()).accessToken }
  } catch (error) {
    return { user, error: error.code, reason: error.reason, message: error.message }
  }
}

process.once('SIGTERM', async () => {
  const closing = tokens.close()
  // New work is refused from now on.
  const { error } = await call('nobody')
  say({ closing: true, error })
  await closing
  redis?.close()
  shared.close()
  say({ closed: true })
  lines.close()
})

say({ ready: true })
for await (const line of lines) {
  const { users = [], calls = 1, fault } = JSON.parse(line)
  if (fault === undefined) {
    const answers = users.flatMap((user) => Array.from({ length: calls }, () => call(user)))
    Promise.all(answers).then((answered) => say({ answered }))
  } else {
    setImmediate(() => {
      throw new Error(fault)
    })
  }
}
