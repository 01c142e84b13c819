// One process of a fleet: `node fleet-process.mjs <token endpoint> <redis port> <encryption key> <lease ms>`. Every line that comes in is a number
// of calls to make at once; what came of them goes out, a line each.

import { createInterface } from 'node:readline'
import { clientSecretBasic, createTokenManager } from 'evertoken'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'

const [tokenEndpoint, port, key, leaseMs] = process.argv.slice(2)
const client = new Redis({ port: Number(port), host: '127.0.0.1', maxRetriesPerRequest: 1, enableOfflineQueue: false })
client.on('error', () => {})
await new Promise((resolve) => client.once('ready', resolve))
const tokens = createTokenManager({
  clients: { api: { tokenEndpoint, clientId: 'machine', authentication: clientSecretBasic('a-long-enough-secret') } },
  store: redisStore(client, { encryption: { keys: [{ id: 'a', key }] } }),
  lock: redisLock(client, { leaseMs: Number(leaseMs) }),
})
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const startedAt = performance.now()
  const answers = await Promise.allSettled(Array.from({ length: Number(line) }, () => tokens.getToken('api')))
  const got = answers.flatMap(({ value }) => (value === undefined ? [] : [value.accessToken]))
  say({ tokens: [...new Set(got)], failed: answers.length - got.length, ms: Math.round(performance.now() - startedAt) })
}
await tokens.close()
client.disconnect()
