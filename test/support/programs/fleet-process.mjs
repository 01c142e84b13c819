// One process of a fleet: `node fleet-process.mjs <token endpoint> <redis port> <encryption key> <lease ms>`, or with `postgres` or `file` as
// fifth argument and a port or a folder as second one. Every line that comes in is a number of calls to make at once; what came of them goes
// out, a line each.

import { createInterface } from 'node:readline'
import { clientSecretBasic, createTokenManager } from 'evertoken'
import { openLock } from './open-lock.mjs'

const [tokenEndpoint, place, key, leaseMs, kind = 'redis'] = process.argv.slice(2)
const { withLock, store, close } = await openLock(kind, place, {
  key,
  leaseMs: Number(leaseMs),
  deadlineMs: kind === 'redis' ? 250 : 1000,
})
const tokens = createTokenManager({
  clients: { api: { tokenEndpoint, clientId: 'machine', authentication: clientSecretBasic('a-long-enough-secret') } },
  store,
  lock: withLock,
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
await close()
