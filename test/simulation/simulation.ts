import { createTokenManager, localLock, memoryStore } from 'evertoken'
import type { Promises } from './call.ts'
import { Fleet } from './fleet.ts'
import { CLIENTS } from './identities.ts'
import type { Sabotage } from './machine.ts'
import { ambush, KIND_NAMES, type Kind, plan } from './plan.ts'
import { Scheduler, seededCrypto } from './scheduler.ts'
import { Witness } from './witness.ts'

/** How one world went. */
export interface Run {
  readonly kind: Kind
  /** What was promised and not kept; a line each. */
  readonly faults: readonly string[]
  readonly trace: readonly string[]
  readonly counts: Witness['counts']
}

/** Runs worlds, one at a time. */
export interface Simulation {
  /** To stand in for the global one while worlds run. */
  readonly crypto: object
  run(seed: number, sabotage?: Sabotage): Promise<Run>
}

const KINDS: Readonly<Record<Kind, Promises>> = {
  /** Everything works; processes come and go in good order. */
  calm: { isStoreSound: true, isFrugal: true, isServerUp: true },
  /** Processes are killed and stopped, writes and locks are lost. */
  broken: { isStoreSound: false, isFrugal: true, isServerUp: true },
  /** Beside that store, lock and news fail, hang and answer late, and clocks are set. */
  torn: { isStoreSound: false, isFrugal: false, isServerUp: true },
  /** And the server does so as well. */
  wild: { isStoreSound: false, isFrugal: false, isServerUp: false },
}
const LATENCIES_MS = [0, 0, 1, 1, 2, 3]

/** What is loaded when it is first needed takes time of its own, which no scheduler sees. */
async function loadEverything(): Promise<void> {
  const fetch = async (): Promise<Response> => Response.json({ access_token: 'a', token_type: 'Bearer' })
  const tokens = createTokenManager({ clients: CLIENTS, fetch, store: memoryStore(), lock: localLock() })
  await tokens.getToken('one')
  await tokens.close()
}

/** Opens one. */
export async function openSimulation(): Promise<Simulation> {
  await loadEverything()
  let active = new Scheduler(0)
  return {
    crypto: seededCrypto(() => active),
    run(seed, sabotage) {
      active = new Scheduler(seed)
      return runWorld(active, { kind: KIND_NAMES[seed % KIND_NAMES.length] ?? 'calm', sabotage })
    },
  }
}

async function runWorld(
  scheduler: Scheduler,
  { kind, sabotage }: { readonly kind: Kind; readonly sabotage: Sabotage | undefined },
): Promise<Run> {
  const witness = new Witness(scheduler, KINDS[kind])
  const isTorn = kind === 'torn' || kind === 'wild'
  const latency = (): number => scheduler.pick(LATENCIES_MS)
  const fleet: Fleet = new Fleet({
    scheduler,
    witness,
    latency: () => (isTorn && scheduler.random() < 0.02 ? 200 + scheduler.below(1500) : latency()),
    serverLatency: latency,
    sabotage,
    size: 2 + scheduler.below(3),
    lifetimeMs: 1000 * scheduler.pick([20, 60, 300]),
    // News of what was pushed out is not heard, and in a calm world it has to be. In the others few are kept.
    maxEntries: kind === 'calm' ? 100 : 1 + scheduler.below(2),
    serverFaultRate: kind === 'wild' ? 0.2 : 0,
    onRequest: (request) => ambush({ scheduler, witness, fleet, kind }, request),
  })
  plan({ scheduler, witness, fleet, kind })
  await scheduler.drain()
  witness.atRest(fleet.leftovers)
  const closing = fleet.close()
  await scheduler.drain()
  witness.atRest({ ...fleet.leftovers, closing: closing(), listeners: fleet.news.listeners })
  scheduler.isOver = true
  fleet.bury()
  await scheduler.drain()
  return { kind, faults: witness.faults, trace: scheduler.trace, counts: witness.counts }
}
