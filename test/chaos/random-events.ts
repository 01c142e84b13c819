import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { FleetProcess, Report } from '../support/fleet-process.ts'
import { seededRandom } from '../support/interleaving.ts'
import type { Toxic } from '../support/toxic-proxy.ts'
import { spareOf } from './issuer.ts'
import { reportsOf, type Scene, test } from './scene.ts'

const PROCESSES = 4
const CLIENT_IDS = ['a', 'b']
const RUN_MS = 30_000

/** What there is to spoil. */
interface Stage extends Scene {
  /** The processes that run now. */
  readonly fleet: FleetProcess[]
  startOne(): Promise<FleetProcess>
}

/** Something that happens, at whose end all is as before. */
interface Kind {
  readonly name: string
  /** Token requests of one client, beyond one a lifetime, that it may cost. */
  readonly cost: number
  readonly happen: (stage: Stage, chance: { readonly at: number; readonly forMs: number }) => Promise<void>
}

/** Each process asks for itself while there is no Redis for anybody, and once more for what was written late. */
const COST_OF_ALL = PROCESSES + 1
/** One process asks for itself, and what it writes late takes the place of a newer token. */
const COST_OF_ONE = 2

function network(name: string, toxic: Toxic): Kind {
  return {
    name,
    cost: COST_OF_ONE,
    async happen({ fleet }, { at, forMs }) {
      const spoilt = fleet[at]?.network
      spoilt?.spoil(toxic)
      await delay(forMs)
      spoilt?.spoil(undefined)
      // What is half open would stay so.
      spoilt?.reset()
    },
  }
}

const KINDS: readonly Kind[] = [
  {
    name: 'kill a process and start another one',
    cost: COST_OF_ONE,
    async happen({ fleet, startOne }, { at }) {
      await fleet[at]?.kill()
      fleet[at] = await startOne()
    },
  },
  {
    name: 'pause a process',
    cost: COST_OF_ONE,
    async happen({ fleet }, { at, forMs }) {
      fleet[at]?.signal('SIGSTOP')
      await delay(forMs)
      fleet[at]?.signal('SIGCONT')
    },
  },
  { name: 'flush all', cost: 1, happen: async ({ redis }) => void (await redis.command('FLUSHALL')) },
  {
    name: 'kill Redis and start it again',
    cost: COST_OF_ALL,
    async happen({ redis }, { forMs }) {
      await redis.kill()
      await delay(forMs)
      await redis.start()
    },
  },
  {
    name: 'pause Redis',
    cost: COST_OF_ALL,
    async happen({ redis }, { forMs }) {
      redis.pause()
      await delay(forMs)
      redis.resume()
    },
  },
  {
    name: 'let Redis take no writes',
    cost: COST_OF_ALL,
    async happen({ redis }, { forMs }) {
      await redis.command('REPLICAOF', '127.0.0.1', '1')
      await delay(forMs)
      await redis.command('REPLICAOF', 'NO', 'ONE')
    },
  },
  {
    name: 'slow the authorization server down',
    cost: 0,
    async happen({ issuer }, { forMs }) {
      issuer.delayMs = forMs / 4
      await delay(forMs)
      issuer.delayMs = 0
    },
  },
  {
    name: 'set the clock of a process back',
    cost: 1,
    happen: async ({ fleet }, { at, forMs }) => void (await fleet[at]?.leap(-1000 * forMs)),
  },
  network('slow the network of a process down', { kind: 'slow', ms: 700 }),
  network('let the network of a process hang', { kind: 'black_hole' }),
  network('leave the connections of a process half open', { kind: 'half_open' }),
  network('cut the replies for a process', { kind: 'cut' }),
  network('refuse the connections of a process', { kind: 'refuse' }),
]

interface Happening {
  readonly kind: Kind
  /** Which process it happens to. */
  readonly at: number
  readonly afterMs: number
  readonly forMs: number
}

/** What happens follows from the seed; what comes of it is up to the machine. */
function scheduleOf(seed: number): readonly Happening[] {
  const random = seededRandom(seed)
  const happenings: Happening[] = []
  for (let ms = 0; ms < RUN_MS; ) {
    const kind = KINDS[Math.floor(random() * KINDS.length)] as Kind
    const at = Math.floor(random() * PROCESSES)
    const [afterMs, forMs] = [Math.round(100 + random() * 900), Math.round(200 + random() * 1800)]
    happenings.push({ kind, at, afterMs, forMs })
    ms += afterMs + forMs
  }
  return happenings
}

/** Anything at any time. */
export function randomScenarios(seed: number): void {
  test(`C5 C6 F11.02 whatever happens (CHAOS_SEED=${seed}): no failed call, no dead or foreign token, few spare requests`, async ({
    stage,
  }) => {
    const scene = await stage({ lifetimeMs: 5000 })
    const { issuer, start } = scene
    const reports: Report[] = []
    let started = 0
    async function startOne(): Promise<FleetProcess> {
      const [one] = await start(1, { isProxied: true, clientIds: CLIENT_IDS })
      await one?.load(100 / PROCESSES, { via: started++ % 2 ? 'fetch' : 'getToken' })
      return one as FleetProcess
    }
    const fleet = await Promise.all(Array.from({ length: PROCESSES }, startOne))
    const schedule = scheduleOf(seed)
    for (const { kind, at, afterMs, forMs } of schedule) {
      await delay(afterMs)
      // Before it may be killed, so that nothing is lost but what was under way.
      if (fleet[at] !== undefined) reports.push(await fleet[at].report())
      await kind.happen({ ...scene, fleet, startOne }, { at, forMs })
    }
    for (const each of fleet) await each.rest()
    reports.push(...(await reportsOf(fleet)))

    const told = schedule.map(({ kind, at, afterMs, forMs }) => `after ${afterMs} ms ${kind.name} ${at}, ${forMs} ms`)
    const message = told.join('\n')
    expect(
      reports.flatMap(({ failures }) => Object.keys(failures)),
      message,
    ).toEqual([])
    expect(
      reports.flatMap(({ tokens }) => issuer.wrong(tokens, CLIENT_IDS)),
      message,
    ).toEqual([])
    expect(issuer.refusals, message).toEqual([])
    const most = schedule.reduce((sum, { kind }) => sum + kind.cost, 0)
    for (const clientId of CLIENT_IDS) {
      const own = issuer.requests.filter((request) => request.clientId === clientId)
      expect(spareOf(own, issuer.lifetimeMs).length, message).toBeLessThanOrEqual(most)
    }
  }, 120_000)
}
