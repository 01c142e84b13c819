import { createTokenManager, type TokenSource } from 'evertoken'
import { redisInvalidations, redisLock, redisStore } from 'evertoken/stores/redis'
import { besideFloor } from './beside-floor.ts'
import type { Figure } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { interleaved } from './rounds.ts'

const CALLS = 200_000
const LIMIT = 1.05

interface Named {
  getToken(name: 'main'): Promise<unknown>
}

/** A token that is in memory, with a store, a lock and news behind it, beside the same without them. */
export async function fleetWarm(): Promise<readonly Figure[]> {
  const loopback = await startLoopback()
  const redis = await startRedis()
  const [client, listening] = await Promise.all([connect(redis.port), connect(redis.port)])
  const clients = { main: clientAt(loopback.tokenEndpoint) }
  const alone = createTokenManager({ clients })
  const sharing = createTokenManager({
    clients,
    store: redisStore(client, { encryption: oneKey() }),
    lock: redisLock(client),
    invalidations: redisInvalidations(client, listening),
  })
  await Promise.all([alone.getToken('main'), sharing.getToken('main')])
  const times = await interleaved(
    {
      aloneSource: () => nanoseconds(() => callAloneSource(alone.source('main'))),
      sharingSource: () => nanoseconds(() => callSharingSource(sharing.source('main'))),
      aloneName: () => nanoseconds(() => callAlone(alone)),
      sharingName: () => nanoseconds(() => callSharing(sharing)),
    },
    { turns: 61, warmUps: 6 },
  )
  await Promise.all([alone.close(), sharing.close(), loopback.close()])
  for (const connection of [client, listening]) connection.disconnect()
  await redis.stop()
  const shown = (ns: number): string => `${ns.toFixed(0)} ns`
  return [
    besideFloor(times.aloneSource, shown)('warm source(name).getToken() with a store', times.sharingSource, LIMIT),
    besideFloor(times.aloneName, shown)('warm getToken(name) with a store', times.sharingName, LIMIT),
  ]
}

// One loop for each subject, as in `warm`.
async function callAloneSource(source: TokenSource): Promise<void> {
  for (let call = 0; call < CALLS; call++) await source.getToken()
}

async function callSharingSource(source: TokenSource): Promise<void> {
  for (let call = 0; call < CALLS; call++) await source.getToken()
}

async function callAlone(manager: Named): Promise<void> {
  for (let call = 0; call < CALLS; call++) await manager.getToken('main')
}

async function callSharing(manager: Named): Promise<void> {
  for (let call = 0; call < CALLS; call++) await manager.getToken('main')
}

async function nanoseconds(work: () => Promise<void>): Promise<number> {
  const startedAt = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - startedAt) / CALLS
}
