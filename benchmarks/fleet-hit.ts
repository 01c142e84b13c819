import { createTokenManager, type TokenManager } from 'evertoken'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import type { Redis } from 'ioredis'
import { besideFloor } from './beside-floor.ts'
import type { Figure } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { interleaved } from './rounds.ts'

const TOKENS = 200
const TURNS = 41
const WARM_UPS = 4

/** A token that is in Redis and not in memory: commands, and time beside a bare `GET` of the same value on the same connection. */
export async function fleetHit(): Promise<readonly Figure[]> {
  const loopback = await startLoopback()
  const redis = await startRedis()
  const client = await connect(redis.port)
  const encryption = oneKey()
  const clients = { main: clientAt(loopback.tokenEndpoint) }
  const open = (): TokenManager<typeof clients> =>
    createTokenManager({ clients, store: redisStore(client, { encryption }), lock: redisLock(client) })
  // Somebody else has put them there.
  await nanosecondsEach((partition) => open().getToken('main', { partition }))
  const names = await client.keys('evertoken:token:*')
  const before = await commandsOf(client)
  const times = await interleaved(
    {
      ours: () => {
        const manager = open()
        return nanosecondsEach((partition) => manager.getToken('main', { partition }))
      },
      floor: () => nanosecondsEach((_partition, index) => client.get(String(names[index]))),
    },
    { turns: TURNS, warmUps: WARM_UPS },
  )
  const hits = (TURNS + WARM_UPS) * TOKENS
  const commands = (await commandsOf(client)) - before - hits
  const requests = await loopback.tokenRequests()
  client.disconnect()
  await Promise.all([loopback.close(), redis.stop()])
  const shown = (ns: number): string => `${(ns / 1e3).toFixed(0)} us`
  return [
    {
      what: 'a token that is in Redis: commands',
      ours: (commands / hits).toFixed(4),
      floor: '1',
      limit: '1',
      isWithin: commands === hits && requests === TOKENS,
    },
    besideFloor(times.floor, shown)('a token that is in Redis, beside a bare GET', times.ours),
  ]
}

async function nanosecondsEach(get: (partition: string, index: number) => Promise<unknown>): Promise<number> {
  const startedAt = process.hrtime.bigint()
  for (let index = 0; index < TOKENS; index++) await get(`tenant-${index}`, index)
  return Number(process.hrtime.bigint() - startedAt) / TOKENS
}

/** How many commands about keys the server has served, those of scripts included. */
async function commandsOf(client: Redis): Promise<number> {
  const text = await client.info('commandstats')
  const counts = [...text.matchAll(/^cmdstat_(?!info|keys|client)[^:]+:calls=(\d+)/gm)]
  return counts.reduce((sum, [, calls]) => sum + Number(calls), 0)
}
