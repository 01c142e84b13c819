// One worker of the fleet: a process with a manager, a Redis connection and a connection that listens. What it is to do comes as messages.

import { clientSecretBasic, createTokenManager, type Telemetry } from 'evertoken'
import { redisInvalidations, redisLock, redisStore } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { createDemoTelemetry } from '../demo-telemetry.ts'
import { type Account, noTotals } from '../report.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { News, Order, WorkerSettings } from './messages.ts'

const report: Account = {
  totals: noTotals(),
  line: (_who, text, tone = 'plain') => void tell({ kind: 'line', text, tone }),
}

/** Resolves when it is on its way; a demo that has gone needs no news. */
function tell(news: News): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(news, () => resolve())
    else resolve()
  })
}

/** What the demo shows, and who is asking the authorization server. */
function createWorkerTelemetry(): Telemetry {
  const { run, note } = createDemoTelemetry(report)
  return {
    note,
    run(operation, work) {
      if (operation.name === 'token.request') void tell({ kind: 'asking' })
      // Fifty at a time are counted, and not told of one by one.
      if (operation.name === 'resource.retry') return work({})
      return run(operation, work)
    },
  }
}

/** All that an application writes: its client, and what it shares with the others. */
async function open({ redisUrl, prefix, encryptionKey, leaseMs, issuer, secret, apiUrl, number }: WorkerSettings) {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1, enableOfflineQueue: false, lazyConnect: true })
  const listening = redis.duplicate({ enableOfflineQueue: true })
  for (const connection of [redis, listening]) connection.on('error', () => {})
  await Promise.all([redis.connect(), listening.connect()])
  const tokens = createTokenManager({
    clients: {
      catalog: {
        issuer,
        clientId: 'catalog-worker',
        authentication: clientSecretBasic(secret),
        scope: 'catalog:read',
        resource: 'urn:demo:catalog',
      },
    },
    store: redisStore(redis, { encryption: { keys: [{ id: 'demo', key: encryptionKey }] }, prefix }),
    lock: redisLock(redis, { leaseMs, deadlineMs: leaseMs / 3, prefix }),
    invalidations: redisInvalidations(redis, listening, { prefix }),
    telemetry: createWorkerTelemetry(),
  })
  const call = tokens.fetch('catalog', { baseUrl: apiUrl })
  return {
    work: () =>
      startWorker('', { call, path: `products?worker=${number}`, report, callsPerLine: Number.POSITIVE_INFINITY }),
    async callOnce(path: string): Promise<void> {
      report.totals.callsMade++
      const status = await call(`${path}?worker=${number}`).then(
        (response) => response.status,
        (error: unknown) => (error instanceof Error ? error.message : 'unknown'),
      )
      if (status === 200) return
      report.totals.callsFailed++
      report.line('', `call failed: ${status}`, 'bad')
    },
    async close(): Promise<void> {
      await tokens.close()
      for (const connection of [redis, listening]) connection.disconnect()
    },
  }
}

let opened: Awaited<ReturnType<typeof open>> | undefined
let worker: Worker | undefined
const telling = setInterval(() => void tell({ kind: 'totals', totals: report.totals }), 50)

async function follow(order: Order): Promise<void> {
  if (order.kind === 'settings') {
    opened = await open(order.settings)
    void tell({ kind: 'ready' })
  } else if (order.kind === 'work') worker = opened?.work()
  else if (order.kind === 'burst') {
    await Promise.all(Array.from({ length: order.calls }, () => opened?.callOnce(order.path)))
    void tell({ kind: 'burst_over' })
  } else await stop()
}

async function stop(): Promise<void> {
  clearInterval(telling)
  await worker?.stop()
  await opened?.close()
  await tell({ kind: 'totals', totals: report.totals })
  process.disconnect()
}

process.on('message', (order: Order) => void follow(order))
// Ctrl-C reaches all processes of a terminal; the demo is the one to say what comes of it.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit())
void tell({ kind: 'started' })
