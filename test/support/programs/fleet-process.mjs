// One process, or one worker thread, of a fleet: `node fleet-process.mjs <settings as JSON>`. Commands come in as JSON, a line each
// with an `id`; each is answered by a line with the same `id`. SIGTERM closes it in good order.

import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'

const settings = JSON.parse(process.argv[2])
const { name, origin, clientIds, kind, place, key, leaseMs } = settings

// The wall clock of this process alone, for everybody in it.
const trueTime = Date.now
let offsetMs = settings.offsetMs
Date.now = () => trueTime() + offsetMs
// Not before that: the library looks at the clock as soon as it is loaded.
const { clientSecretBasic, createTokenManager } = await import('evertoken')
const { redisLock, redisStore } = await import('evertoken/stores/redis')

/** Redis with the defaults of each library: commands wait for a connection that is gone. */
async function connect() {
  if (kind === 'ioredis') {
    const { Redis } = await import('ioredis')
    const client = new Redis({ port: place, host: '127.0.0.1' }).on('error', () => {})
    return { ...onRedis(client), ready: () => once(client, 'ready'), disconnect: () => client.disconnect() }
  }
  if (kind === 'redis') {
    const { createClient } = await import('redis')
    const client = createClient({ socket: { port: place, host: '127.0.0.1' } }).on('error', () => {})
    const connecting = client.connect().catch(() => {})
    return { ...onRedis(client), ready: () => connecting, disconnect: () => client.destroy() }
  }
  const { openLock } = await import('./open-lock.mjs')
  const { withLock, store, close } = await openLock(kind, place, { leaseMs, deadlineMs: 1000 })
  return { store, lock: withLock, ready: () => {}, disconnect: close }
}

function onRedis(client) {
  return {
    store: redisStore(client, { encryption: { keys: [{ id: 'a', key }] } }),
    lock: redisLock(client, { leaseMs }),
  }
}

const newReport = () => ({
  calls: 0,
  failures: {},
  longestMs: 0,
  tokens: {},
  events: [],
  misses: 0,
  running: new Set(),
})
let report = newReport()
const stalls = monitorEventLoopDelay({ resolution: 10 })
stalls.enable()

const { store, lock, ready, disconnect } = await connect()
if (settings.awaitsConnection) await ready()
const authentication = clientSecretBasic('a-long-enough-secret')
const tokens = createTokenManager({
  clients: Object.fromEntries(
    clientIds.map((clientId) => [clientId, { tokenEndpoint: `${origin}/token`, clientId, authentication }]),
  ),
  store,
  lock,
  fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, 'x-process': name } }),
  telemetry: { run, note },
})

/** Counts what store and lock were asked for in vain. */
async function run({ name: operation }, work) {
  const outcome = {}
  try {
    return await work(outcome)
  } finally {
    if (operation.startsWith('store.') && outcome.error !== undefined) report.misses++
  }
}
function note(event) {
  report.events.push(event)
  if (event.name === 'lock_down') report.misses++
}

const apis = Object.fromEntries(clientIds.map((clientId) => [clientId, tokens.fetch(clientId, { baseUrl: origin })]))

/** One call, for a token or with one to the API; what comes of it goes into a report. */
function call({ clientId = clientIds[0], via = 'getToken', partition }, mine = report) {
  const startedAt = performance.now()
  const work = async () => {
    try {
      if (via === 'fetch') {
        const response = await apis[clientId](`/api/${clientId}`, { headers: { 'x-process': name } })
        await response.arrayBuffer()
        if (response.status !== 200) throw Object.assign(new Error('refused'), { code: `status_${response.status}` })
      } else {
        const { accessToken } = await tokens.getToken(clientId, partition && { partition })
        mine.tokens[accessToken] = trueTime()
      }
    } catch (error) {
      const code = error.code ?? error.name
      mine.failures[code] = (mine.failures[code] ?? 0) + 1
    }
    mine.longestMs = Math.max(mine.longestMs, performance.now() - startedAt)
  }
  mine.calls++
  const running = work().finally(() => mine.running.delete(running))
  mine.running.add(running)
}

async function completed(mine) {
  await Promise.all(mine.running)
  const { running, ...told } = mine
  return { ...told, stallMs: stalls.max / 1e6 }
}

let load
const commands = {
  /** Calls at once, and what came of them. */
  call({ calls, ...how }) {
    const mine = newReport()
    for (let n = 0; n < calls; n++) call(how, mine)
    return completed(mine)
  },
  /** Calls at a rate from now on, of each client in turn. */
  load({ perSecond, via }) {
    let n = 0
    clearInterval(load)
    load = setInterval(() => call({ clientId: clientIds[n++ % clientIds.length], via }), 1000 / perSecond)
  },
  rest: () => clearInterval(load),
  /** What came of the load, and all events, since the last time. */
  report() {
    const mine = report
    report = newReport()
    return completed(mine)
  },
  leap: ({ ms }) => {
    offsetMs += ms
  },
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
const lines = createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  const { id, command, ...how } = JSON.parse(line)
  say({ id, answer: await commands[command](how) })
})
lines.once('close', close)
process.once('SIGTERM', () => lines.close())
say({ id: 0 })

async function close() {
  clearInterval(load)
  const closed = Promise.all([tokens.close(), tokens.close()])
  await tokens.getToken(clientIds[0]).catch(({ code }) => say({ id: 'closed', answer: code }))
  await closed
  await disconnect()
  process.stdin.destroy()
}
