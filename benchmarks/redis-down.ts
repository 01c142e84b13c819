import { setTimeout as pause } from 'node:timers/promises'
import { createTokenManager, type Telemetry, type TokenManager, type TokenManagerOptions } from 'evertoken'
import { redisLock, redisStore } from 'evertoken/stores/redis'
import type { Redis } from 'ioredis'
import type { RedisServer } from '../demo/redis-server.ts'
import { type Figure, median, quantile } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { connect, oneKey, startRedis } from './redis-server.ts'
import { interleaved, ratios } from './rounds.ts'

const WARM_CALLS = 20_000
const COLD_CALLS = 1_000
/** Nearly a hundred cold calls a second, of which one tries whether Redis is up again. */
const COLD_PAUSE_MS = 10
const MORE_MS = 50

type Clients = Readonly<Record<'main', ReturnType<typeof clientAt>>>

/** A manager on a Redis of its own, whose fate the others do not share. */
interface Subject {
  readonly manager: TokenManager<Clients>
  readonly redis: RedisServer
  readonly isDown: () => boolean
  close(): Promise<void>
}

/** What calls cost while Redis is down: killed, so that connections are refused, or stopped, so that answers do not come. */
export async function redisDown(): Promise<readonly Figure[]> {
  const loopback = await startLoopback()
  const clients: Clients = { main: clientAt(loopback.tokenEndpoint) }
  const alone = createTokenManager({ clients })
  const [up, killed, stopped] = await Promise.all([open(clients), open(clients), open(clients)])
  const warmed = [alone, up.manager, killed.manager, stopped.manager].map((manager) => manager.getToken('main'))
  await Promise.all(warmed)
  await killed.redis.kill()
  stopped.redis.pause()
  await untilOpen([killed, stopped])
  const warm = await warmCalls({ up, killed, stopped })
  const cold = await coldCalls({ alone, killed: killed.manager, stopped: stopped.manager })
  stopped.redis.resume()
  await Promise.all([alone.close(), up.close(), killed.close(), stopped.close(), loopback.close()])
  return [...warm, ...cold]
}

async function open(clients: Clients): Promise<Subject> {
  const redis = await startRedis()
  const client: Redis = await connect(redis.port)
  const down = new Set<string>()
  const telemetry: Telemetry = {
    run: (_operation, work) => work({}),
    note(event) {
      if (event.name === 'store_down') down.add(event.access)
    },
  }
  const shared: Pick<TokenManagerOptions<Clients>, 'store' | 'lock'> = {
    store: redisStore(client, { encryption: oneKey() }),
    lock: redisLock(client),
  }
  const manager = createTokenManager({ clients, telemetry, ...shared })
  return {
    manager,
    redis,
    isDown: () => down.has('read') && down.has('write'),
    async close() {
      await manager.close()
      client.disconnect()
      await redis.stop()
    },
  }
}

/** Calls until each manager knows that its Redis is down. */
async function untilOpen(subjects: readonly Subject[]): Promise<void> {
  for (const { manager, isDown } of subjects) {
    for (let call = 0; !isDown(); call++) await manager.getToken('main', { partition: `first-${call}` })
  }
}

async function warmCalls(subjects: Readonly<Record<'up' | 'killed' | 'stopped', Subject>>): Promise<readonly Figure[]> {
  const round =
    ({ manager }: Subject) =>
    async (): Promise<number> => {
      const waits = new Float64Array(WARM_CALLS)
      for (let call = 0; call < WARM_CALLS; call++) {
        const askedAt = process.hrtime.bigint()
        await manager.getToken('main')
        waits[call] = Number(process.hrtime.bigint() - askedAt)
      }
      return quantile(waits.sort(), 0.99)
    }
  const p99s = await interleaved(
    { up: round(subjects.up), killed: round(subjects.killed), stopped: round(subjects.stopped) },
    { turns: 61, warmUps: 6 },
  )
  return (['killed', 'stopped'] as const).map((how) => {
    const ratio = median(ratios(p99s[how], p99s.up))
    return {
      what: `Redis ${how}: p99 of a warm call, beside Redis up`,
      ours: `${median(p99s[how]).toFixed(0)} ns`,
      floor: `${median(p99s.up).toFixed(0)} ns`,
      ratio,
      limit: 'ratio 1.05',
      isWithin: ratio <= 1.05,
    }
  })
}

/** A hundred calls a second, each for a token that nobody has: of all subjects at the same time. */
async function coldCalls(
  subjects: Readonly<Record<'alone' | 'killed' | 'stopped', TokenManager<Clients>>>,
): Promise<readonly Figure[]> {
  const waits = {
    alone: new Float64Array(COLD_CALLS),
    killed: new Float64Array(COLD_CALLS),
    stopped: new Float64Array(COLD_CALLS),
  }
  const calls: Promise<void>[] = []
  const names = ['alone', 'killed', 'stopped'] as const
  for (let call = 0; call < COLD_CALLS; call++) {
    // Each goes first as often as the others.
    for (let place = 0; place < names.length; place++) {
      const name = names[(call + place) % names.length] ?? 'alone'
      calls.push(timed(subjects[name], call, waits[name]))
    }
    await pause(COLD_PAUSE_MS)
  }
  await Promise.all(calls)
  for (const of of Object.values(waits)) of.sort()
  return (['killed', 'stopped'] as const).flatMap((how) =>
    ([0.99, 1] as const).map((share): Figure => {
      const [ours, floor] = [quantile(waits[how], share), quantile(waits.alone, share)]
      return {
        what: `Redis ${how}: ${share === 1 ? 'longest' : 'p99'} of ${COLD_CALLS} cold calls`,
        ours: `${ours.toFixed(1)} ms`,
        floor: `${floor.toFixed(1)} ms`,
        limit: share === 1 ? 'for information' : `floor + ${MORE_MS} ms`,
        isWithin: share === 1 || ours - floor <= MORE_MS,
      }
    }),
  )
}

async function timed(manager: TokenManager<Clients>, call: number, waits: Float64Array): Promise<void> {
  const askedAt = performance.now()
  await manager.getToken('main', { partition: `cold-${call}` })
  waits[call] = performance.now() - askedAt
}
