import type { Fleet } from './fleet.ts'
import { IDENTITIES, type Identity } from './identities.ts'
import type { Machine } from './machine.ts'
import type { Scheduler } from './scheduler.ts'
import type { Witness } from './witness.ts'

/** Kinds of worlds, by what goes wrong in them. */
export const KIND_NAMES = ['calm', 'broken', 'torn', 'wild'] as const
/** One of them. */
export type Kind = (typeof KIND_NAMES)[number]

/** The share of requests that something happens to. */
const AMBUSHES = 0.1

/** One world, before and while things happen in it. */
export interface World {
  readonly scheduler: Scheduler
  readonly witness: Witness
  readonly fleet: Fleet
  readonly kind: Kind
}

/** Plans what happens and when. Callers come in herds, and what goes wrong goes wrong while they wait. */
export function plan(world: World): void {
  const { scheduler, kind } = world
  const hot = Array.from({ length: 1 + scheduler.below(2) }, () => scheduler.pick(IDENTITIES))
  let at = 0
  for (let episodes = 2 + scheduler.below(3); episodes > 0; episodes--) {
    const soon = (within: number): number => at + scheduler.below(within)
    for (let calls = 1 + scheduler.below(5); calls > 0; calls--)
      scheduler.after(soon(6), '', () => someCall(world, hot))
    if (scheduler.random() < 0.3)
      scheduler.after(soon(12), 'a token is revoked', () => revoke(world, scheduler.pick(hot)))
    const events = EVENTS[kind]
    for (let faults = scheduler.below(3); faults > 0; faults--) {
      const [what, happen] = scheduler.pick(events)
      scheduler.after(soon(20), what, () => happen(world, scheduler.below(world.fleet.processes.length)))
    }
    at += scheduler.pick([5, 30, 1000, 8000, 14_000, 16_000, 21_000, 58_000, 61_000, 250_000, 301_000])
  }
}

/** What goes wrong just when a process waits for a token: that is when it matters. */
export function ambush(world: World, { identity, machine }: { identity: string; machine: Machine }): void {
  const { scheduler, fleet, kind } = world
  if (scheduler.random() > AMBUSHES) return
  const at = fleet.processes.findIndex((process) => process.machine === machine)
  const asked = IDENTITIES.find(({ name }) => name === identity)
  if (at === -1 || asked === undefined) return
  const whose = scheduler.random() < 0.5 ? at : scheduler.below(fleet.processes.length)
  const deleting: Happening = () => fleet.delete(whose, asked)
  const [what, happen] = scheduler.random() < 0.5 ? ['', deleting] : scheduler.pick(EVENTS[kind])
  const soonMs = scheduler.below(8)
  scheduler.after(soonMs, what, () => happen(world, whose))
  // Somebody calls meanwhile, and somebody comes and sees what is left of it.
  scheduler.after(soonMs + scheduler.below(4), '', () => fleet.call(whose, asked))
  scheduler.after(15 + scheduler.below(30), '', () => fleet.call(whose, asked))
}

function someCall({ scheduler, fleet }: World, hot: readonly Identity[]): void {
  const at = scheduler.below(fleet.processes.length)
  const identity = scheduler.random() < 0.8 ? scheduler.pick(hot) : scheduler.pick(IDENTITIES)
  const chance = scheduler.random()
  if (chance < 0.06) fleet.delete(at, identity)
  else if (chance < 0.1) fleet.call(at, identity, { isForced: true })
  else if (chance < 0.2) fleet.call(at, identity, { patienceMs: scheduler.below(8) })
  else fleet.call(at, identity)
}

function revoke({ fleet }: World, { name }: Identity): void {
  const token = fleet.server.newest(name)
  if (token !== undefined) token.isRevoked = true
}

type Happening = (world: World, process: number) => void

function machineAt({ fleet }: World, at: number): Machine {
  const process = fleet.processes[at]
  if (process === undefined) throw new RangeError('no such process')
  return process.machine
}

const CALM: readonly (readonly [string, Happening])[] = [
  [
    'a process leaves',
    ({ witness, fleet }, at) => {
      witness.excuse()
      fleet.leave(at)
    },
  ],
]

const BROKEN: typeof CALM = [
  ...CALM,
  [
    'a process is killed',
    ({ witness, fleet }, at) => {
      witness.excuse()
      fleet.crash(at)
    },
  ],
  [
    'a process is stopped',
    (world, at) => {
      // What is answered meanwhile may come too late.
      world.witness.excuse()
      machineAt(world, at).pause(world.scheduler.pick([50, 400, 6000, 12_000]))
    },
  ],
  [
    'FLUSHALL',
    ({ witness, fleet }) => {
      witness.excuse()
      fleet.store.flush()
      fleet.lock.flush()
    },
  ],
  [
    'a replica takes over',
    ({ scheduler, witness, fleet }) => {
      witness.excuse()
      fleet.store.failOver(1 + scheduler.below(3))
    },
  ],
]

const TORN: typeof CALM = [
  ...BROKEN,
  ['a connection breaks', (world, at) => breakLink(world, at, 'failing')],
  ['a connection hangs', (world, at) => breakLink(world, at, 'hanging')],
  [
    'a clock is set',
    (world, at) => {
      const machine = machineAt(world, at)
      machine.aheadMs += world.scheduler.pick([500, 5000, 40_000])
      world.witness.clockSet(machine)
    },
  ],
]

const EVENTS: Readonly<Record<Kind, typeof CALM>> = { calm: CALM, broken: BROKEN, torn: TORN, wild: TORN }

function breakLink(world: World, at: number, link: 'failing' | 'hanging'): void {
  const { scheduler } = world
  const { links } = machineAt(world, at)
  const names =
    scheduler.random() < 0.3
      ? (['store', 'lock', 'news'] as const)
      : [scheduler.pick(['store', 'lock', 'news'] as const)]
  for (const name of names) links[name] = link
  scheduler.after(scheduler.pick([5, 100, 1500, 20_000]), 'a connection is back', () => {
    for (const name of names) links[name] = 'up'
  })
}
