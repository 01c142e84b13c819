import { createHash, webcrypto } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SABOTAGES } from './machine.ts'
import { openSimulation, type Run, type Simulation } from './simulation.ts'

/** `SIMULATION_SEEDS=1000000 npx vitest run test/simulation` takes more of them. */
const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 10_000)
/** `SIMULATION_SEED=123 npx vitest run test/simulation` takes that one, and prints what happened. */
const { SIMULATION_SEED } = process.env
/** More than one takes on a machine that is busy with others. */
const MS_PER_SEED = 60

setFlagsFromString('--expose_gc')
const collectGarbage: () => void = runInNewContext('gc')

/** The heap in bytes, without what nobody holds. */
function heapInUse(): number {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** What was not kept, a line each. */
function faultsOf(seed: number, { kind, faults }: Run): readonly string[] {
  return faults.map((fault) => `seed ${seed}, ${kind}: ${fault}`)
}

describe('F11.02 a fleet in a world that follows a seed', () => {
  let simulation: Simulation
  beforeEach(async () => {
    simulation = await openSimulation()
    vi.stubGlobal('crypto', simulation.crypto)
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  if (SIMULATION_SEED !== undefined) {
    test(`F11.02 seed ${SIMULATION_SEED}`, async () => {
      const seed = Number(SIMULATION_SEED)
      const run = await simulation.run(seed)
      console.log(run.trace.join('\n'))
      expect(faultsOf(seed, run)).toEqual([])
    })
  }

  test.skipIf(SIMULATION_SEED !== undefined)(
    `F11.02 C5 C6 F6.11 F6.12 A1.02 ${SEEDS} worlds: no dead token, nor one of another identity, nor one that was deleted or refused; one request for each life, and one more for each thing that goes wrong; nobody hangs, and nothing is left`,
    { timeout: SEEDS * MS_PER_SEED + 30_000 },
    async () => {
      const totals: Record<string, number> = {}
      for (let seed = 0; seed < SEEDS; seed++) {
        const run = await simulation.run(seed)
        expect(faultsOf(seed, run)).toEqual([])
        for (const [name, count] of Object.entries(run.counts)) totals[name] = (totals[name] ?? 0) + count
      }
      // What was checked was worth checking.
      const { tokens = 0, requests = 0, ...rare } = totals
      expect(tokens).toBeGreaterThan(5 * SEEDS)
      expect(requests).toBeGreaterThan(2 * SEEDS)
      for (const [name, count] of Object.entries(rare)) expect(count, name).toBeGreaterThan(SEEDS / 10)
    },
  )

  test('F11.02 one seed is one world, to the last event, whatever the machine does beside it', async () => {
    const digestOf = ({ trace }: Run): string => createHash('sha256').update(trace.join('\n')).digest('hex')
    const first: string[] = []
    for (let seed = 0; seed < 200; seed++) first.push(digestOf(await simulation.run(seed)))
    let isBusy = true
    const noise = Array.from({ length: 4 }, async () => {
      while (isBusy) await webcrypto.subtle.digest('SHA-256', new Uint8Array(100_000))
    })
    const again: string[] = []
    for (let seed = 0; seed < 200; seed++) again.push(digestOf(await simulation.run(seed)))
    isBusy = false
    await Promise.all(noise)
    expect(again).toEqual(first)
    expect(new Set(first).size).toBe(200)
  })

  test('F11.02 F8.07 F8.03 worlds that are over leave nothing in memory', async () => {
    for (let seed = 0; seed < 100; seed++) await simulation.run(seed)
    const before = heapInUse()
    for (let seed = 100; seed < 400; seed++) await simulation.run(seed)
    // A manager with what belongs to it is 20 kB, and these were a thousand.
    expect(heapInUse() - before).toBeLessThan(2 * 1024 * 1024)
  })

  const signs: Readonly<Record<(typeof SABOTAGES)[number], RegExp>> = {
    'answers are mixed up': /: t\d+ is of /,
    'entries are kept': /: t\d+ was deleted/,
    'the lock is open': /a request too many for/,
    'timers are dead': /hangs$/,
    'clocks are slow': /has been dead for/,
  }
  test.each(SABOTAGES)('F11.02 it is noticed when %s', async (sabotage) => {
    const faults: string[] = []
    for (let seed = 0; seed < 200; seed++) faults.push(...faultsOf(seed, await simulation.run(seed, sabotage)))
    expect(faults).toContainEqual(expect.stringMatching(signs[sabotage]))
  })
})
